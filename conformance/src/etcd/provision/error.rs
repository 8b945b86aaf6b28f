//! Why no etcd could be provided.

use std::fmt;

use super::{ParseRequestError, Source};

/// One source that did not supply an acceptable binary.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Where the binary was looked for.
    pub source: Source,
    /// Why it was not there.
    pub reason: String,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.reason)
    }
}

/// No source supplied an acceptable binary. The message says what was tried and what to install.
#[derive(Clone, Debug)]
pub struct ProvisionError {
    wanted: String,
    attempts: Vec<Attempt>,
}

impl ProvisionError {
    pub(super) fn new(wanted: impl fmt::Display, attempts: Vec<Attempt>) -> Self {
        Self { wanted: wanted.to_string(), attempts }
    }

    pub(super) fn malformed(error: &ParseRequestError) -> Self {
        let reason = format!("ETCDIUM_ETCD_VERSION: {error}");
        Self::new("of a valid version", vec![Attempt { source: Source::Environment, reason }])
    }

    /// Every source tried, in order.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }
}

impl fmt::Display for ProvisionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "no etcd {} could be provided. Tried:", self.wanted)?;
        for attempt in &self.attempts {
            writeln!(f, "  - {}", attempt.to_string().replace('\n', "\n      "))?;
        }
        f.write_str(
            "Install Go 1.26 or newer (or python3 with pip, from which Go is then taken) and allow it to download \
             modules; or, for etcd 3.4, use a Debian system with apt-get; or set ETCDIUM_ETCD to an etcd binary.",
        )
    }
}

impl std::error::Error for ProvisionError {}
