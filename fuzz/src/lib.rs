//! What is fuzzed: one function for each target, each taking any bytes and panicking where something is wrong.
//!
//! The targets of cargo-fuzz (`fuzz_targets/`) and the property form (`src/property.rs`), which needs neither nightly
//! nor cargo-fuzz, call the same functions. `cargo xtask fuzz` uses the one or the other.

mod client_bytes;
mod endpoint;
mod frames;
mod input;
mod operations;
mod server_bytes;
mod status;

pub use client_bytes::client_bytes;
pub use endpoint::endpoint;
pub use frames::frames;
pub use operations::operations;
pub use server_bytes::server_bytes;
pub use status::status;

/// A target: its name, its function, and inputs of some use to begin with.
pub type Target = (&'static str, fn(&[u8]), &'static [&'static [u8]]);

/// All targets.
pub const TARGETS: &[Target] = &[
    ("frames", frames, self::frames::SEEDS),
    ("status", status, status::SEEDS),
    ("endpoint", endpoint, endpoint::SEEDS),
    ("operations", operations, operations::SEEDS),
    ("server_bytes", server_bytes, server_bytes::SEEDS),
    ("client_bytes", client_bytes, client_bytes::SEEDS),
];
