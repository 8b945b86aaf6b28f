//! Versions of etcd, and what may be asked for.

use std::fmt;
use std::str::FromStr;

/// An exact version of an etcd server, such as `3.7.3` or `3.7.0-rc.1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// Always 3 today.
    pub major: u32,
    /// The minor release, such as 7.
    pub minor: u32,
    /// The patch release.
    pub patch: u32,
    /// The pre-release without its dash, such as `rc.1`; empty for a release.
    pub pre: String,
}

impl Version {
    /// A release version.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch, pre: String::new() }
    }

    /// Whether this is `major.minor` or later.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        (self.major, self.minor) >= (major, minor)
    }

    /// Whether its answers to requests for progress stay behind the events they cover: those of 3.4.25, 3.5.8 and later do
    /// (etcd issue 15220).
    pub fn progress_keeps_order(&self) -> bool {
        match (self.major, self.minor) {
            (3, 4) => self.patch >= 25,
            (3, 5) => self.patch >= 8,
            _ => self.at_least(3, 6),
        }
    }

    fn same_minor(&self, other: &Self) -> bool {
        (self.major, self.minor) == (other.major, other.minor)
    }
}

impl Ord for Version {
    /// A pre-release comes before its release; two pre-releases of one release compare as text.
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |v: &Self| (v.major, v.minor, v.patch, v.pre.is_empty());
        key(self).cmp(&key(other)).then_with(|| self.pre.cmp(&other.pre))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.pre.is_empty() { Ok(()) } else { write!(f, "-{}", self.pre) }
    }
}

impl FromStr for Version {
    type Err = ParseVersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (numbers, pre) = match text.split_once('-') {
                Some((_, "")) => return None,
                Some((numbers, pre)) => (numbers, pre),
                None => (text, ""),
            };
            let mut parts = numbers.split('.').map(|part| part.parse::<u32>().ok());
            let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
            // The version becomes a folder's name, so nothing but what etcd itself uses may stand in it.
            let plain = pre.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
            (parts.next().is_none() && plain).then(|| Self { major, minor, patch, pre: pre.to_owned() })
        };
        parse().ok_or_else(|| ParseVersionError { text: text.to_owned() })
    }
}

/// A text that is not `major.minor.patch`, with or without a `-pre.release`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseVersionError {
    text: String,
}

impl fmt::Display for ParseVersionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not an etcd version such as 3.7.3", self.text)
    }
}

impl std::error::Error for ParseVersionError {}

/// Which etcd is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Request {
    /// 3.7.3, or any other version where that cannot be had.
    #[default]
    Default,
    /// The pinned release of a minor (3.4.23, 3.5.35, 3.6.16, 3.7.3), or another release of the same minor.
    Minor(Minor),
    /// This version and no other.
    Exact(Version),
    /// The pinned release of a minor, 3.5 or later, built with failpoints.
    Failpoints(Minor),
}

/// A minor release that has a pinned exact version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Minor {
    /// etcd 3.4: no `--unsafe-no-fsync`, no learner defaults, the oldest one supported.
    V3_4,
    /// etcd 3.5.
    V3_5,
    /// etcd 3.6.
    V3_6,
    /// etcd 3.7.
    V3_7,
}

impl Minor {
    /// Every minor, oldest first.
    pub const ALL: [Self; 4] = [Self::V3_4, Self::V3_5, Self::V3_6, Self::V3_7];

    /// The release that stands for this minor.
    pub const fn pinned(self) -> Version {
        match self {
            Self::V3_4 => Version::new(3, 4, 23),
            Self::V3_5 => Version::new(3, 5, 35),
            Self::V3_6 => Version::new(3, 6, 16),
            Self::V3_7 => Version::new(3, 7, 3),
        }
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Version { major, minor, .. } = self.pinned();
        write!(f, "{major}.{minor}")
    }
}

impl Request {
    /// What the environment variable `ETCDIUM_ETCD_VERSION` asks for; [`Request::Default`] when it is unset or empty.
    ///
    /// # Errors
    ///
    /// [`ParseRequestError`] when the variable's text is no request.
    pub fn from_env() -> Result<Self, ParseRequestError> {
        match std::env::var("ETCDIUM_ETCD_VERSION") {
            Ok(text) if !text.is_empty() => text.parse(),
            _ => Ok(Self::Default),
        }
    }

    /// The exact version this stands for when everything can be had.
    pub fn pinned(&self) -> Version {
        match self {
            Self::Default => Minor::V3_7.pinned(),
            Self::Minor(minor) | Self::Failpoints(minor) => minor.pinned(),
            Self::Exact(version) => version.clone(),
        }
    }

    /// The same release with failpoints: the pinned one of the minor, also for an exact version, and 3.7 for a version
    /// of an unknown minor.
    #[must_use]
    pub fn with_failpoints(&self) -> Self {
        let pinned = self.pinned();
        let minor = Minor::ALL.into_iter().find(|minor| minor.pinned().same_minor(&pinned));
        Self::Failpoints(minor.unwrap_or(Minor::V3_7))
    }

    /// Whether `version` may be given for this request.
    pub fn accepts(&self, version: &Version) -> bool {
        match self {
            Self::Default => true,
            Self::Minor(minor) => minor.pinned().same_minor(version),
            Self::Exact(exact) => exact == version,
            Self::Failpoints(minor) => minor.pinned() == *version,
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => write!(f, "{} (the default)", self.pinned()),
            Self::Minor(minor) => minor.fmt(f),
            Self::Exact(version) => version.fmt(f),
            Self::Failpoints(minor) => write!(f, "{minor}{FAILPOINTS}"),
        }
    }
}

/// What follows the minor where failpoints are wanted.
const FAILPOINTS: &str = "-gofail";

impl FromStr for Request {
    type Err = ParseRequestError;

    /// Reads `default`, `3.4`, `3.5`, `3.6`, `3.7`, one of these with `-gofail`, or an exact version; a leading `v` is
    /// allowed.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "default" {
            return Ok(Self::Default);
        }
        let plain = text.strip_prefix('v').unwrap_or(text);
        let named = |name: &str| Minor::ALL.into_iter().find(|minor| minor.to_string() == name);
        if let Some(minor) = named(plain) {
            return Ok(Self::Minor(minor));
        }
        if let Some(minor) = plain.strip_suffix(FAILPOINTS).and_then(named) {
            return Ok(Self::Failpoints(minor));
        }
        plain.parse().map(Self::Exact).map_err(|_| ParseRequestError { text: text.to_owned() })
    }
}

/// A text that asks for no etcd that could be provided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseRequestError {
    text: String,
}

impl fmt::Display for ParseRequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is no etcd version: use 3.4, 3.5, 3.6, 3.7 or an exact one such as 3.5.21", self.text)
    }
}

impl std::error::Error for ParseRequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_parse_and_print() {
        for text in ["3.7.3", "3.4.23", "3.7.0-rc.1"] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), text);
        }
        for text in ["", "3", "3.7", "3.7.x", "3.7.3.1", "3.7.3-", "3.7.3-../x", "v3.7.3", "-1.0.0"] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn versions_are_ordered() {
        let sorted = ["3.4.23", "3.5.1", "3.5.35", "3.7.0-alpha.0", "3.7.0-rc.1", "3.7.0", "3.10.0"];
        let versions: Vec<Version> = sorted.iter().map(|text| text.parse().unwrap()).collect();
        assert!(versions.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn requests_resolve_to_pinned_versions() {
        for (text, pinned) in [
            ("default", "3.7.3"),
            ("3.4", "3.4.23"),
            ("3.5", "3.5.35"),
            ("3.6", "3.6.16"),
            ("3.7", "3.7.3"),
            ("3.5.9", "3.5.9"),
            ("v3.5.9", "3.5.9"),
            ("3.7-gofail", "3.7.3"),
        ] {
            assert_eq!(text.parse::<Request>().unwrap().pinned().to_string(), pinned);
        }
        for text in ["", "3", "3.3", "3.8", "latest", "3.7.3/../x"] {
            assert!(text.parse::<Request>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn failpoints_are_asked_for_by_minor() {
        let failpoints = Request::Failpoints(Minor::V3_5);
        assert_eq!("3.5-gofail".parse::<Request>().unwrap(), failpoints);
        assert_eq!(failpoints.to_string(), "3.5-gofail");
        assert_eq!(Request::Exact(Version::new(3, 5, 9)).with_failpoints(), failpoints);
        assert_eq!(Request::Default.with_failpoints(), Request::Failpoints(Minor::V3_7));
        assert!(!failpoints.accepts(&Version::new(3, 5, 9)));
    }

    #[test]
    fn what_may_stand_in_for_what() {
        let other = Version::new(3, 5, 1);
        assert!(Request::Default.accepts(&other));
        assert!(Request::Minor(Minor::V3_5).accepts(&other));
        assert!(!Request::Minor(Minor::V3_7).accepts(&other));
        assert!(Request::Exact(other.clone()).accepts(&other));
        assert!(!Request::Exact(Version::new(3, 5, 2)).accepts(&other));
    }

    #[test]
    fn progress_keeps_order_since() {
        for (text, keeps) in [
            ("3.4.24", false),
            ("3.4.25", true),
            ("3.5.7", false),
            ("3.5.8", true),
            ("3.6.0", true),
            ("3.7.3", true),
        ] {
            assert_eq!(text.parse::<Version>().unwrap().progress_keeps_order(), keeps, "{text}");
        }
    }
}
