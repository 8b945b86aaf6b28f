//! `etcdium-conformance`: the suite as a program.

#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use etcdium_conformance::etcd::provision::{self, Request};

const USAGE: &str = "usage: etcdium-conformance <command>

  etcd [3.4|3.5|3.6|3.7|EXACT]    provide an etcd server binary and print its path";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) =
        args.split_first().map_or(("", &[][..]), |(command, rest)| (command.as_str(), rest));
    let outcome = match command {
        "etcd" => etcd(rest),
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

/// Prints the path of an etcd binary alone on standard output, everything else on standard error.
fn etcd(args: &[String]) -> Result<(), Box<dyn Error>> {
    let request = match args {
        [] => Request::from_env()?,
        [version] => version.parse()?,
        _ => return Err(USAGE.into()),
    };
    let etcd = provision::provide(&request)?;
    eprintln!("etcdium: {etcd}");
    println!("{}", etcd.path.display());
    Ok(())
}
