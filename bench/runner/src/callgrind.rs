//! Instructions per call, counted by callgrind: exact where times vary.

use std::process::{Command, ExitCode, Stdio};

use crate::Error;
use crate::args::Options;
use crate::cases::{Case, Kind};
use crate::process::{Programs, Stub, output};

/// Prints instructions per call. Two runs of different length are compared, so that start and end cancel out.
///
/// # Errors
/// A run that fails. A machine without valgrind is told of and is no error.
pub(crate) fn run(
    programs: &Programs,
    stub: &Stub,
    cases: &[Case],
    clients: &[String],
    options: &Options,
) -> Result<ExitCode, Error> {
    let probe =
        Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !probe.is_ok_and(|status| status.success()) {
        println!("valgrind is not installed: instructions per call cannot be counted");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{:<14}{:<20}{:>16}{:>8}{:>13}", "load", "client", "instructions", "/hyper", "/etcd-client");
    for case in cases {
        println!();
        let mut counted = Vec::new();
        for client in clients.iter().filter(|client| case.takes(client)) {
            let extra = extra_calls(case, options.quick);
            let short = count(programs, stub, case, client, extra / 4)?;
            let long = count(programs, stub, case, client, extra / 4 + extra)?;
            counted.push((client, (long - short) / extra as f64));
        }
        let ratio = |per_call: f64, to: &str| {
            let base = counted.iter().find(|(client, _)| client.as_str() == to);
            base.map_or_else(|| "-".to_owned(), |(_, base)| format!("{:.2}", per_call / base))
        };
        for (client, per_call) in &counted {
            let (hyper, incumbent) = (ratio(*per_call, "hyper"), ratio(*per_call, "etcd-client"));
            println!("{:<14}{client:<20}{per_call:>16.0}{hyper:>8}{incumbent:>13}", case.title());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Calls that the longer run makes more than the shorter one: the same number in every task.
fn extra_calls(case: &Case, quick: bool) -> usize {
    let extra: usize = match (case.kind, case.workload) {
        (Kind::Events, _) => 200_000,
        (_, "range1000") => 400,
        _ => 12_800,
    };
    let extra = if quick { extra / 4 } else { extra };
    extra.next_multiple_of(4 * case.concurrency)
}

fn count(programs: &Programs, stub: &Stub, case: &Case, client: &str, ops: usize) -> Result<f64, Error> {
    let warmup = case.warmup.min(2_000);
    let native =
        programs.client("bench-client", stub, client, case.workload, [case.concurrency, warmup, ops])?;
    let mut command = Command::new("valgrind");
    // Valgrind writes its summary to a file of its own choice; the descriptor 2 is the one that is captured.
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--log-fd=1"]);
    command.arg(native.get_program()).args(native.get_args());
    let said = output(&mut command)?;
    let line =
        said.lines().find_map(|line| line.split_once("Collected :")).ok_or("callgrind counted nothing")?;
    Ok(line.1.trim().parse()?)
}
