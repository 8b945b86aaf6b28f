//! The client's examples, run against a live etcd.

use std::env;
use std::process::Command;

use super::Request;
use crate::etcd::ClusterConfig;

/// The examples of `etcdium-client` that take an endpoint.
const EXAMPLES: [&str; 2] = ["event_loop", "custom_runtime"];

/// Starts a server and runs every example against it.
///
/// # Errors
/// The server cannot be started, or an example fails; all are run first.
pub fn examples(request: Request) -> Result<(), String> {
    let cluster = ClusterConfig::single().version(request).start().map_err(|error| error.to_string())?;
    let endpoint = cluster.endpoints().concat();
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut failed = Vec::new();
    for example in EXAMPLES {
        println!("--- example {example}");
        let status = Command::new(&cargo)
            .args([
                "run",
                "--quiet",
                "--locked",
                "-p",
                "etcdium-client",
                "--example",
                example,
                "--",
                &endpoint,
            ])
            .status()
            .map_err(|error| format!("starting cargo: {error}"))?;
        if !status.success() {
            failed.push(format!("{example} ({status})"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("examples failed: {}", failed.join(", "))) }
}
