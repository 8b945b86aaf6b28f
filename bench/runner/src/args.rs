//! The command line of the runner.

use std::path::PathBuf;

use crate::Error;

const HELP: &str = "\
cargo xtask bench [--quick] [--strict] [--callgrind] [--no-spin] [--json FILE] [--reps N]
                  [--client NAME]... [--workload LOAD]... [--concurrency N]... [--etcd PROGRAM]

--quick        fewer calls and repetitions; about four minutes
--strict       fail when a bar is missed
--callgrind    print instructions per call instead, where valgrind exists
--no-spin      let the stub's CPU fall asleep
--json FILE    write the result lines to a file instead of standard output
--reps N       repetitions, 3 at least (5; 3 with --quick)
--client, --workload, --concurrency
               only these; may be repeated. Loads: put get range1000 put1100 watch_batched
               watch_revisions watch_tiny watchers10k leases10k slow_reader
--etcd PROGRAM the etcd that watchers10k needs (cargo xtask bench brings etcd 3.7)";

/// What to run.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) quick: bool,
    pub(crate) strict: bool,
    pub(crate) callgrind: bool,
    pub(crate) no_spin: bool,
    pub(crate) json: Option<PathBuf>,
    /// An etcd server program.
    pub(crate) etcd: Option<PathBuf>,
    pub(crate) reps: Option<usize>,
    /// Empty for all.
    pub(crate) clients: Vec<String>,
    /// Empty for all.
    pub(crate) workloads: Vec<String>,
    /// Empty for all.
    pub(crate) concurrencies: Vec<usize>,
}

impl Options {
    pub(crate) fn rounds(&self) -> usize {
        self.reps.unwrap_or(if self.quick { 3 } else { 5 }).max(3)
    }

    /// The clients to run, of those that exist.
    ///
    /// # Errors
    /// A name that does not exist.
    pub(crate) fn clients(&self, all: Vec<String>) -> Result<Vec<String>, Error> {
        if let Some(name) = self.clients.iter().find(|name| !all.contains(name)) {
            return Err(format!("no client {name:?}; there are: {}", all.join(" ")).into());
        }
        Ok(if self.clients.is_empty() { all } else { self.clients.clone() })
    }
}

/// Reads the command line; `None` after `--help`, which is answered here.
///
/// # Errors
/// Unknown or missing arguments, with the usage text.
pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Option<Options>, Error> {
    let mut options = Options::default();
    while let Some(name) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{name}: a value is missing"));
        match name.as_str() {
            "--quick" => options.quick = true,
            "--strict" => options.strict = true,
            "--callgrind" => options.callgrind = true,
            "--no-spin" => options.no_spin = true,
            "--json" => options.json = Some(value()?.into()),
            "--etcd" => options.etcd = Some(value()?.into()),
            "--reps" => options.reps = Some(value()?.parse()?),
            "--client" => options.clients.push(value()?),
            "--workload" => options.workloads.push(value()?),
            "--concurrency" => options.concurrencies.push(value()?.parse()?),
            "--help" => {
                println!("{HELP}");
                return Ok(None);
            }
            _ => return Err(format!("no argument {name:?}\n{HELP}").into()),
        }
    }
    Ok(Some(options))
}
