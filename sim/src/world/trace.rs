//! What happened, as text for people and as a hash for comparing two runs.

use std::fmt::{self, Write};
use std::time::Duration;

/// Keeps what happens, as far as it is wanted.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    mode: TraceMode,
    hash: Fnv,
    text: String,
}

/// What is kept of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TraceMode {
    /// Nothing: the fastest.
    #[default]
    Off,
    /// A hash of everything that went into the core and came out.
    Hash,
    /// The same, and its text.
    Text,
}

impl Trace {
    pub(crate) fn new(mode: TraceMode) -> Self {
        Self { mode, ..Self::default() }
    }

    pub(crate) fn add(&mut self, at: Duration, what: &dyn fmt::Debug) {
        match self.mode {
            TraceMode::Off => {}
            TraceMode::Hash => {
                // Writing to a hash cannot fail.
                let _ = writeln!(self.hash, "{at:?} {what:?}");
            }
            TraceMode::Text => {
                let _ = writeln!(self.hash, "{at:?} {what:?}");
                let _ = writeln!(self.text, "{:>12.6} {what:?}", at.as_secs_f64());
            }
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.0
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// FNV-1a: fixed by its definition, unlike the standard library's hashers.
#[derive(Debug)]
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        Ok(())
    }
}
