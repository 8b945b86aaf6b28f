//! The command line of the two client binaries.

use crate::measure::HeapProbe;
use crate::plan::{Plan, Workload};
use crate::{Error, variants};

const HELP: &str = "\
usage: bench-client --client NAME --workload LOAD --addr 127.0.0.1:PORT
                    [--concurrency N] [--warmup N] [--ops N]
loads: put get range1000 put1100 cancel-storm idle watch_batched watch_revisions watch_tiny watchers10k leases10k
       slow_reader";

/// Reads the command line.
///
/// # Errors
/// Unknown or missing arguments, with the usage text.
pub(crate) fn parse(mut args: impl Iterator<Item = String>, heap: Option<HeapProbe>) -> Result<Plan, Error> {
    let usage = |what: &str| Error::from(format!("{what}\n{HELP}\nclients: {}", variants::NAMES.join(" ")));
    let (mut client, mut workload, mut addr) = (None, None, None);
    let (mut concurrency, mut warmup, mut ops) = (1, 1_000, 10_000);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| usage(&format!("{name}: a value is missing")))?;
        match name.as_str() {
            "--client" => client = Some(value),
            "--workload" => {
                let named = Workload::NAMED.into_iter().find(|(name, _)| *name == value);
                workload = Some(named.ok_or_else(|| usage(&format!("no load {value:?}")))?.1);
            }
            "--addr" => addr = Some(value.parse()?),
            "--concurrency" => concurrency = value.parse::<usize>()?.max(1),
            "--warmup" => warmup = value.parse()?,
            "--ops" => ops = value.parse()?,
            _ => return Err(usage(&format!("no argument {name:?}"))),
        }
    }
    Ok(Plan {
        client: client.ok_or_else(|| usage("--client is missing"))?,
        workload: workload.ok_or_else(|| usage("--workload is missing"))?,
        concurrency,
        warmup,
        ops,
        addr: addr.ok_or_else(|| usage("--addr is missing"))?,
        heap,
    })
}
