//! The tasks of the etcdium repository: `cargo xtask <task>`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

mod codegen;
mod etcd;

const USAGE: &str = "usage: cargo xtask <task>

  codegen [--check]                  generate the protobuf messages, or check that they are up to date
  etcd [3.4|3.5|3.6|3.7|EXACT]       provide an etcd server binary and print its path";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (task, rest) = args.split_first().map_or(("", &[][..]), |(task, rest)| (task.as_str(), rest));
    let outcome = match task {
        "codegen" => codegen::run(rest),
        "etcd" => etcd::run(rest),
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
