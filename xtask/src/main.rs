//! The tasks of the etcdium repository: `cargo xtask <task>`.

#![forbid(unsafe_code)]

mod api;
mod bench;
mod cargo;
mod codegen;
mod demo;
mod deny;
mod etcd;
mod fuzz;
mod lines;
mod msrv;
mod purity;
mod sim;
mod soak;
mod test;

use std::process::ExitCode;

/// What a task returns: nothing, or why it failed.
type Outcome = Result<(), Box<dyn std::error::Error>>;

const USAGE: &str = "usage: cargo xtask <task>

  demo [--embedded]                  start etcd and use it from every runtime; embedded: the model etcd
  test [--only STEP|CASE] [--runtime NAME|all] [--etcd VERSION|all]
                                     everything CI checks
  bench [--quick] [--json FILE] ...  measure against other clients
  sim [--seeds N] [--seed S] [--jobs J] [--trace] [--planted] ...
                                     the core in its simulated world, seed by seed
  soak [--minutes M] [--seed S] [--etcd VERSION]
                                     watches, leases and writers on a real cluster under faults, M (1) minutes
  etcd [3.4|3.5|3.6|3.7|EXACT]       provide an etcd server binary and print its path; 3.7-gofail: with failpoints
  fuzz [--seconds N]                 feed anything to parsers, core and driver, N (30) seconds each
  codegen [--check]                  generate the protobuf messages, or check that they are up to date

the steps of `test`, each also a task of its own:
  purity    core depends on no clock, socket, runtime or randomness
  msrv      the workspace and its dependencies keep to the declared Rust version
  lines     no file grows out of hand
  api       no foreign type in a public signature
  deny      licences, bans, sources, advisories";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = args.split_first().map_or(("", &[][..]), |(task, rest)| (task.as_str(), rest));
    let outcome = match task {
        "api" => api::run(),
        "bench" => bench::run(rest),
        "codegen" => codegen::run(rest),
        "demo" => demo::run(rest),
        "deny" => deny::run(),
        "etcd" => etcd::run(rest),
        "fuzz" => fuzz::run(rest),
        "lines" => lines::run(),
        "msrv" => msrv::run(),
        "purity" => purity::run(),
        "sim" => sim::run(rest),
        "soak" => soak::run(rest),
        "test" => test::run(rest),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
