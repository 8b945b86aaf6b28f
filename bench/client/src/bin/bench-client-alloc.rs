//! As `bench-client`, with a counting allocator: its allocation and heap figures are exact, its times are not used.

#![forbid(unsafe_code)]

use std::alloc::System;
use std::process::ExitCode;

use bench_client::HeapProbe;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    bench_client::main(Some(HeapProbe::new(|| ALLOCATOR.stats())))
}
