//! The tasks of the etcdium repository: `cargo xtask <task>`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

mod codegen;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        Some((task, rest)) if task == "codegen" => codegen::run(rest),
        _ => Err("usage: cargo xtask codegen [--check]".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
