//! Every conformance case on every runtime, against live etcd: one test each, named like `KV-014::tokio`.
//!
//! `ETCDIUM_RUNTIME` narrows the runtimes (`tokio`, `tokio-multi`, `smol`, `async-std`, a list of them, `all`),
//! `ETCDIUM_ETCD_VERSION` chooses the version of etcd.

use std::process::ExitCode;
use std::sync::Arc;

use etcdium_conformance::scenario::Runtime;
use etcdium_conformance::suite::{Request, Suite, Verdict};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// Enough to use the time in which cases wait for servers; they hardly compute.
const THREADS: usize = 3;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let runtimes = match std::env::var("ETCDIUM_RUNTIME") {
        Ok(names) if !names.is_empty() => Runtime::parse_list(&names).map_err(|error| error.to_string()),
        _ => Ok(Runtime::ALL.to_vec()),
    };
    let request = Request::from_env().map_err(|error| error.to_string());
    let (runtimes, request) = match (runtimes, request) {
        (Ok(runtimes), Ok(request)) => (runtimes, request),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    let suite = Arc::new(Suite::on_own_servers(request));
    if !arguments.list {
        match suite.servers() {
            Ok(servers) => println!("{servers}"),
            Err(error) => {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let trials = suite.plan(&runtimes, |_| true).into_iter().map(|trial| {
        let suite = Arc::clone(&suite);
        Trial::ignorable_test(trial.to_string(), move || match suite.run(trial).verdict {
            Verdict::Passed => Ok(Completion::Completed),
            Verdict::Skipped(reason) => Ok(Completion::ignored_with(reason)),
            Verdict::Failed(reason) => Err(Failed::from(reason)),
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
