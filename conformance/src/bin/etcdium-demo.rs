//! `etcdium-demo`: starts a real etcd and uses it from every runtime, across a crash of the server. What
//! `cargo xtask demo` runs.
//!
//! Every answer is checked, so a good end means more than that nothing failed.

#![forbid(unsafe_code)]

use std::error::Error;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use etcdium_client::{Client, Compare, ErrorKind, EtcdError, Get, Put};
use etcdium_conformance::etcd::provision;
use etcdium_conformance::etcd::{Cluster, ClusterConfig, LaunchError};

type Failure = Box<dyn Error + Send + Sync>;

/// The columns of the table.
const STEPS: [&str; 8] = ["connect", "put", "get", "txn", "delete", "compact", "crash", "put again"];
/// How long a call may wait for the server to come back.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    if std::env::args().len() > 1 {
        eprintln!("usage: etcdium-demo; ETCDIUM_ETCD_VERSION chooses the version of etcd");
        return ExitCode::FAILURE;
    }
    match demo() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo() -> Result<(), Failure> {
    println!("Providing etcd; the first time it is built or downloaded, which may take a minute or two.");
    let etcd = provision::default()?;
    println!("Using {etcd}");
    if let Some(note) = &etcd.note {
        println!("Note: {note}");
    }
    let cluster = Arc::new(ClusterConfig::single().start()?);
    let endpoint = cluster.endpoints().concat();
    println!(
        "Started one server at {endpoint}; one client on each runtime in turn, times in milliseconds.\n"
    );

    print!("{:<12}", "");
    STEPS.iter().for_each(|step| print!("{step:>10}"));
    println!();
    row("tokio", |clock| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = clock.time(etcdium_tokio::connect(&*endpoint)).await?;
            use_etcd(client, &cluster, clock, "tokio").await
        })
    })?;
    row("smol", |clock| {
        smol::block_on(async {
            let client = clock.time(etcdium_smol::connect(&*endpoint)).await?;
            use_etcd(client, &cluster, clock, "smol").await
        })
    })?;
    row("async-std", |clock| {
        async_std::task::block_on(async {
            let client = clock.time(etcdium_async_std::connect(&*endpoint)).await?;
            use_etcd(client, &cluster, clock, "async-std").await
        })
    })?;
    println!(
        "\ncrash: the server is killed with SIGKILL, a read is sent while it is down, the server is started again on\n\
         the same data, and the read returns what was written before, without a retry in the program."
    );
    Ok(())
}

/// Prints one line of the table.
fn row(name: &str, work: impl FnOnce(&mut Clock) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut clock = Clock::default();
    let outcome = work(&mut clock);
    print!("{name:<12}");
    clock.times.iter().for_each(|time| print!("{:>10.1}", time.as_secs_f64() * 1000.0));
    println!();
    outcome.map_err(|error| {
        let step = STEPS.get(clock.times.len()).unwrap_or(&"the end");
        format!("{name}: {step}: {error}").into()
    })
}

/// The times of the steps done so far.
#[derive(Default)]
struct Clock {
    times: Vec<Duration>,
}

impl Clock {
    /// Takes the time of one step.
    async fn time<T, E>(&mut self, step: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let begin = Instant::now();
        let answer = step.await?;
        self.times.push(begin.elapsed());
        Ok(answer)
    }
}

/// One of each, written once for all runtimes.
async fn use_etcd(
    client: Client,
    cluster: &Arc<Cluster>,
    clock: &mut Clock,
    name: &str,
) -> Result<(), Failure> {
    let (greeting, counter) = (format!("demo/{name}/greeting"), format!("demo/{name}/counter"));
    let first = clock.time(async { client.put(&greeting, "hello").await }).await?.header.revision;
    let got = clock.time(async { client.get(&greeting).await }).await?;
    demand(got.first().is_some_and(|kv| kv.value == "hello"), "the value put is the value got")?;

    let swap = client
        .txn()
        .when([Compare::value(&greeting).equal("hello")])
        .and_then([Put::new(&greeting, "hello again"), Put::new(&counter, "1")])
        .or_else([Get::new(&greeting)]);
    demand(clock.time(async { swap.await }).await?.succeeded, "the condition holds")?;
    let deleted = clock.time(async { client.delete(&counter).prev_kv().await }).await?;
    demand(deleted.prev_kvs.iter().map(|kv| &*kv.value).eq([b"1"]), "the counter is deleted")?;
    let now = deleted.header.revision;
    clock.time(async { client.compact(now).await }).await?;
    let old = client.get(&greeting).revision(first).await;
    let compacted = |error: &etcdium_client::Error| *error.kind() == ErrorKind::Etcd(EtcdError::Compacted);
    demand(old.is_err_and(|error| compacted(&error)), "the history is compacted")?;

    cluster.members()[0].kill();
    let restart = restart(cluster.clone(), client.clone());
    let got = clock.time(async { client.get(&greeting).timeout(PATIENCE).await }).await?;
    restart.join().map_err(|_| "the thread that restarts the server panicked")??;
    demand(got.first().is_some_and(|kv| kv.value == "hello again"), "the value has survived")?;
    let put = clock.time(async { client.put(&counter, "2").await }).await?;
    demand(put.header.revision > now, "the history goes on")
}

/// Starts the server again, on a thread, when the client has missed it.
fn restart(cluster: Arc<Cluster>, client: Client) -> thread::JoinHandle<Result<(), LaunchError>> {
    thread::spawn(move || {
        let (begin, connects) = (Instant::now(), client.stats().connects);
        while client.stats().connects == connects && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
        cluster.members()[0].restart()?;
        cluster.wait_ready(PATIENCE)
    })
}

fn demand(holds: bool, what: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(format!("not so: {what}").into()) }
}
