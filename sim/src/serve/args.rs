//! The options of `etcdium-sim serve`.

use std::net::SocketAddr;

use super::{SimServer, SimServerBuilder};
use crate::model::Version;

/// What `etcdium-sim serve` takes.
pub const USAGE: &str = "serve [--listen 127.0.0.1:2379] [--members 1] [--version 3.4|3.5|3.6|3.7]";

/// Reads the options of `etcdium-sim serve`.
///
/// # Errors
/// What is wrong with them, for a person.
pub fn parse(args: &[String]) -> Result<SimServerBuilder, String> {
    let mut builder = SimServer::builder().listen(SocketAddr::from(([127, 0, 0, 1], 2379)));
    let mut args = args.iter();
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
        let wrong = || format!("{option} {value}: not understood");
        builder = match option.as_str() {
            "--listen" => builder.listen(value.parse().map_err(|_| wrong())?),
            "--members" => match value.parse() {
                Ok(members @ 1..=9) => builder.members(members),
                _ => return Err(format!("{option} {value}: not a number from 1 to 9")),
            },
            "--version" => {
                let minor = value.strip_prefix("3.").and_then(|minor| minor.parse().ok());
                let minor = minor.filter(|minor| (4..=7).contains(minor)).ok_or_else(wrong)?;
                builder.version(Version { major: 3, minor })
            }
            _ => return Err(format!("{option} is no option")),
        };
    }
    Ok(builder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<SimServerBuilder, String> {
        parse(&text.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_read() {
        let builder = parsed("--listen 127.0.0.1:0 --members 3 --version 3.4").unwrap();
        assert_eq!((builder.listen.port(), builder.cluster.members), (0, 3));
        assert_eq!(builder.cluster.version, Version { major: 3, minor: 4 });
        for wrong in [
            "--listen",
            "--listen x",
            "--members 0",
            "--members ten",
            "--version 2.3",
            "--version 3.8",
            "x y",
        ] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
    }
}
