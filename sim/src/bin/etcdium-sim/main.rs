//! `etcdium-sim`: the simulator as a program.

#![forbid(unsafe_code)]

mod run;

use std::error::Error;
use std::process::ExitCode;

use etcdium_sim::serve::args;

fn main() -> ExitCode {
    let all: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = all.split_first().map_or(("", &[][..]), |(command, rest)| (command, rest));
    let outcome = match command {
        "run" => run::run(rest),
        "serve" => serve(rest),
        _ => Err(format!("usage: etcdium-sim {}\n\n{}", args::USAGE, run::USAGE).into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves until the process is ended.
fn serve(options: &[String]) -> Result<(), Box<dyn Error>> {
    let server = args::parse(options)?.start()?;
    println!("{}", server.endpoints().join(","));
    loop {
        std::thread::park();
    }
}
