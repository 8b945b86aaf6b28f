//! `bench-runner`: every client against the stub, side by side, and how they compare. `cargo xtask bench` runs it.
//!
//! The stub is pinned to one CPU and each client process to another. Repetitions are interleaved: each round runs
//! every client once on a load before the next load begins, and medians over the rounds are compared. The stub's CPU
//! is kept from sleeping.

#![forbid(unsafe_code)]

mod args;
mod bars;
mod binaries;
mod callgrind;
mod cases;
mod cpu;
mod etcd;
mod figures;
mod process;
mod table;

use std::process::ExitCode;

use args::Options;
use cases::{Case, WATCHERS};
use etcd::Etcd;
use figures::Results;
use process::{Programs, Stub};

type Error = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let outcome = match args::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => run(&options),
        Ok(None) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<ExitCode, Error> {
    let programs = binaries::build()?;
    let cpus = cpu::pick()?;
    cpu::warn_of_load();
    let clients = options.clients(programs.clients()?)?;
    let cases = cases::selected(options);
    let stub = Stub::start(&programs, cpus, !options.no_spin)?;
    let etcd = match &options.etcd {
        Some(program) if cases.iter().any(|case| case.workload == WATCHERS) => {
            Some(Etcd::start(program, cpus)?)
        }
        _ => None,
    };
    if options.callgrind {
        return callgrind::run(&programs, &stub, &cases, &clients, options);
    }
    let servers = Servers { stub: &stub, etcd: etcd.as_ref() };
    let results = measure(&programs, &servers, &cases, &clients, options)?;
    table::print(&results, &cases, &clients);
    let passed = bars::print(&results);
    let lines = results.json_lines(&cases, &clients);
    match &options.json {
        Some(path) => std::fs::write(path, lines).map_err(|error| format!("{}: {error}", path.display()))?,
        None => print!("\n{lines}"),
    }
    Ok(if passed || !options.strict { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What the clients call.
struct Servers<'a> {
    stub: &'a Stub,
    etcd: Option<&'a Etcd>,
}

impl Servers<'_> {
    fn addr(&self, case: &Case) -> &str {
        self.etcd.filter(|_| case.workload == WATCHERS).map_or(self.stub.addr(), Etcd::addr)
    }
}

fn measure(
    programs: &Programs,
    servers: &Servers<'_>,
    cases: &[Case],
    clients: &[String],
    options: &Options,
) -> Result<Results, Error> {
    let stub = servers.stub;
    let mut results = Results::default();
    for round in 0..options.rounds() {
        eprintln!("round {} of {}", round + 1, options.rounds());
        for case in cases.iter().filter(|case| case.runs_in(round)) {
            // The order changes with the round, so that no client always runs on what another left behind.
            for turn in 0..clients.len() {
                let client = &clients[(turn + round) % clients.len()];
                if case.takes(client) {
                    results.add(
                        case,
                        client,
                        programs.run(stub, servers.addr(case), client, case, options.quick)?,
                    );
                }
            }
        }
    }
    eprintln!("allocations");
    for case in cases.iter().filter(|case| case.is_counted()) {
        for client in clients.iter().filter(|client| case.takes(client)) {
            results.set_allocs(case, client, programs.count(stub, client, case)?);
        }
    }
    if options.workloads.is_empty() {
        eprintln!("a client at rest, storms of cancelled calls");
        for client in clients {
            results.idle.insert(client.clone(), programs.idle(stub, client)?);
            let failure = programs.storm(stub, client).err().map(|error| error.to_string());
            results.storm.insert(client.clone(), failure);
        }
    }
    Ok(results)
}
