//! Measures CPU time, latency and memory of one client under one load. See `--help`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    bench_client::main(None)
}
