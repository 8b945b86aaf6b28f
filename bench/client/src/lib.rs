//! One measured run of one etcd client against the stub: the code shared by `bench-client`, which measures time, and
//! `bench-client-alloc`, which counts allocations.
//!
//! A client is one file in `variants/`: an implementation of [`client::KvClient`] and a `run` function that starts
//! its runtime, connects, and hands the client to [`load::run`]. `variants/mod.rs` names it. Loads and measuring are
//! the same code for all.

#![forbid(unsafe_code)]

mod args;
mod client;
mod crowd;
mod histogram;
mod load;
mod measure;
mod modes;
mod plan;
mod spawn;
mod variants;
mod watching;

use std::process::ExitCode;

pub use measure::HeapProbe;

/// Any failure of a run; it ends the run.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

/// Runs what the command line says and prints one JSON line; `--list` prints the names of the clients. `heap` is given by the binary that counts allocations.
#[must_use]
pub fn main(heap: Option<HeapProbe>) -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--list") {
        println!("{}", variants::NAMES.join("\n"));
        return ExitCode::SUCCESS;
    }
    let outcome = args::parse(std::env::args().skip(1), heap).and_then(|plan| variants::run(&plan));
    match outcome {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-client: {error}");
            ExitCode::FAILURE
        }
    }
}
