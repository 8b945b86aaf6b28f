//! `etcdium-etcd [1|3] [VERSION]`: runs a throw-away etcd cluster until its standard input ends or it is killed.
//!
//! Prints one line per member, when all serve: its name, its client URL, its process id and its data folder.

#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use etcdium_conformance::etcd::provision::Request;
use etcdium_conformance::etcd::{Topology, shared_version};

fn main() -> ExitCode {
    match run(&std::env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let topology = match args.first().map(String::as_str) {
        None | Some("1") => Topology::Single,
        Some("3") => Topology::Three,
        Some(_) => return Err("usage: etcdium-etcd [1|3] [3.4|3.5|3.6|3.7|EXACT]".into()),
    };
    let request = args.get(1).map_or_else(Request::from_env, |version| version.parse())?;
    let cluster = shared_version(topology, &request)?;
    for member in cluster.members() {
        let pid = member.pid().ok_or("a member has ended")?;
        println!("{} {} {pid} {}", member.name(), member.endpoint(), member.data_folder().display());
    }
    std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink())?;
    Ok(())
}
