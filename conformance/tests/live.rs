//! Every conformance case on every runtime, against live etcd: one test each, named like `KV-014::tokio`.
//!
//! `ETCDIUM_RUNTIME` narrows the runtimes (`tokio`, `tokio-multi`, `smol`, `async-std`, `loop`, `sim`, a list,
//! `all`),
//! `ETCDIUM_ETCD_VERSION` chooses the version of etcd.

use std::process::ExitCode;
use std::sync::Arc;

use etcdium_client::{Get, Put};
use etcdium_conformance::etcd::ClusterConfig;
use etcdium_conformance::scenario::{Failure, Runtime, Setup};
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
    let suite = Arc::new(Suite::on_own_servers(request.clone()));
    let real = runtimes.iter().any(|runtime| *runtime != Runtime::Sim);
    if real && !arguments.list {
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
    // First, while no cluster of the cases takes its place.
    let foreign = Trial::test("foreign-servers-keep-what-they-have", || Ok(foreign_servers(request)?));
    let foreign = real.then_some(foreign);
    libtest_mimic::run(&arguments, foreign.into_iter().chain(trials).collect()).exit_code()
}

/// The suite on servers that are not its own leaves their keys and their history as they were.
fn foreign_servers(request: Request) -> Result<(), Failure> {
    let cluster = ClusterConfig::single().version(request).start()?;
    let setup = Setup::new(cluster.endpoints());
    let call = |request| {
        let setup = setup.clone();
        Runtime::Tokio.block_on(async move { Runtime::Tokio.open(&setup)?.send(request).await })
    };
    Runtime::Tokio.block_on({
        let setup = setup.clone();
        async move { Runtime::Tokio.open(&setup)?.send(Put::new("theirs", "old")).await }
    })?;
    let before = call(Get::new("").from_key())?;

    let suite = Suite::on_foreign_servers(cluster.endpoints()).map_err(Failure::new)?;
    let (mut passed, mut skipped) = (0, 0);
    for trial in suite.plan(&[Runtime::Tokio], |_| true) {
        match suite.run(trial).verdict {
            Verdict::Passed => passed += 1,
            Verdict::Skipped(_) => skipped += 1,
            Verdict::Failed(reason) => return Err(Failure::new(format!("{trial}: {reason}"))),
        }
    }
    if passed < 10 || skipped < 10 {
        return Err(Failure::new(format!("{passed} passed, {skipped} were skipped")));
    }
    if call(Get::new("").from_key())?.count <= before.count {
        return Err(Failure::new("the cases have written nothing"));
    }
    suite.finish().map_err(Failure::new)?;
    let after = call(Get::new("").from_key())?;
    if after.kvs != before.kvs {
        return Err(Failure::new(format!("before: {:?}, after: {:?}", before.kvs, after.kvs)));
    }
    // Fails if the history was compacted.
    call(Get::new("theirs").revision(before.header.revision))?;
    Ok(())
}
