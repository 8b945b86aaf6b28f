//! Which servers' answers to requests for progress can be believed.

/// Whether a server of this version sends the answer to a request for progress behind the events that it covers.
///
/// Before 3.4.25 and 3.5.8 the answer could overtake events (etcd issue 15220, and the changelogs of 3.4 and 3.5). A version
/// that cannot be read is not believed.
pub(crate) fn keeps_order(version: &str) -> bool {
    let (numbers, suffix) = version.split_once('-').unwrap_or((version, ""));
    let mut numbers = numbers.trim_start_matches('v').split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) =
        (numbers.next(), numbers.next(), numbers.next())
    else {
        return false;
    };
    match (major, minor) {
        (3, 4) => patch >= 25,
        (3, 5) => patch >= 8,
        // Its first previews were made before.
        (3, 6) => patch > 0 || !suffix.starts_with("alpha"),
        _ => (major, minor) > (3, 6),
    }
}

#[cfg(test)]
mod tests {
    use super::keeps_order;

    #[test]
    fn the_first_good_versions() {
        for good in
            ["3.4.25", "3.4.43", "3.5.8", "3.5.35", "3.6.0", "3.6.0-rc.1", "3.7.3", "3.8.0-alpha.0", "4.0.0"]
        {
            assert!(keeps_order(good), "{good}");
        }
        for bad in
            ["3.4.24", "3.4.0", "3.5.7", "3.5.0", "3.3.27", "3.6.0-alpha.0", "", "3.6", "x.y.z", "3.5.x"]
        {
            assert!(!keeps_order(bad), "{bad}");
        }
    }
}
