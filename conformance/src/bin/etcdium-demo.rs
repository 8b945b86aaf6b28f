//! `etcdium-demo`: starts a real etcd and uses it from every runtime and from an event loop without one, across a crash
//! of the server. What `cargo xtask demo` runs. With `--embedded`, and where no real etcd can be had, the server is the
//! model etcd inside of this process.
//!
//! Every answer is checked, so a good end means more than that nothing failed.

#![forbid(unsafe_code)]

use std::error::Error;
use std::future::{Future, IntoFuture};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use etcdium_client::{Compact, Compare, Delete, EtcdError, Get, Put, Txn};
use etcdium_conformance::etcd::provision;
use etcdium_conformance::etcd::{Cluster, ClusterConfig};
use etcdium_conformance::scenario::{Runtime, Setup, Subject};
use etcdium_sim::SimServer;

type Failure = Box<dyn Error + Send + Sync>;

/// The columns of the table.
const STEPS: [&str; 8] = ["connect", "put", "get", "txn", "delete", "compact", "crash", "put again"];
/// How long a call may wait for the server to come back.
const PATIENCE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let embedded = match args.as_slice() {
        [] => false,
        [option] if option == "--embedded" => true,
        _ => {
            eprintln!("usage: etcdium-demo [--embedded]; ETCDIUM_ETCD_VERSION chooses the version of etcd");
            return ExitCode::FAILURE;
        }
    };
    match demo(embedded) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The server: a real one, or the model in this process.
enum Server {
    Real(Cluster),
    Embedded(SimServer),
}

impl Server {
    /// A real one if it is wanted and can be had.
    fn start(embedded: bool) -> Result<Self, Failure> {
        if !embedded {
            println!(
                "Providing etcd; the first time it is built or downloaded, which may take a minute or two."
            );
            match provision::default() {
                Ok(etcd) => {
                    println!("Using {etcd}");
                    if let Some(note) = &etcd.note {
                        println!("Note: {note}");
                    }
                    return Ok(Self::Real(ClusterConfig::single().start()?));
                }
                Err(error) => println!("No real etcd can be had, so the model takes its place.\n{error}"),
            }
        }
        println!("Using the model etcd of etcdium-sim, inside of this process");
        Ok(Self::Embedded(SimServer::start()?))
    }

    fn endpoint(&self) -> String {
        match self {
            Self::Real(cluster) => cluster.endpoints().concat(),
            Self::Embedded(server) => server.endpoints().concat(),
        }
    }

    fn kill(&self) {
        match self {
            Self::Real(cluster) => cluster.members()[0].kill(),
            Self::Embedded(server) => server.kill(0),
        }
    }

    /// Starts it again; it serves on return.
    fn restart(&self) -> Result<(), Failure> {
        match self {
            Self::Real(cluster) => {
                cluster.members()[0].restart()?;
                Ok(cluster.wait_ready(PATIENCE)?)
            }
            Self::Embedded(server) => Ok(server.restart(0)?),
        }
    }
}

fn demo(embedded: bool) -> Result<(), Failure> {
    let server = Arc::new(Server::start(embedded)?);
    let endpoint = server.endpoint();
    println!("Started one server at {endpoint}; one client after the other, times in milliseconds.\n");

    print!("{:<12}", "");
    STEPS.iter().for_each(|step| print!("{step:>10}"));
    println!();
    row("tokio", |clock| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let client = clock.time(etcdium_tokio::connect(&*endpoint)).await?;
            use_etcd(Subject::Client(client), &server, clock, "tokio").await
        })
    })?;
    row("smol", |clock| {
        smol::block_on(async {
            let client = clock.time(etcdium_smol::connect(&*endpoint)).await?;
            use_etcd(Subject::Client(client), &server, clock, "smol").await
        })
    })?;
    row("async-std", |clock| {
        async_std::task::block_on(async {
            let client = clock.time(etcdium_async_std::connect(&*endpoint)).await?;
            use_etcd(Subject::Client(client), &server, clock, "async-std").await
        })
    })?;
    row("event loop", |clock| {
        futures_lite::future::block_on(async {
            let event_loop = Runtime::Loop.open(&Setup::new([&endpoint]))?;
            // It connects when it is first used.
            clock.time(event_loop.send(Get::new("demo")).into_future()).await?;
            use_etcd(event_loop, &server, clock, "event-loop").await
        })
    })?;
    let kill = match &*server {
        Server::Real(_) => "killed with SIGKILL",
        Server::Embedded(_) => "stopped at once, its connections cut",
    };
    println!(
        "\nevent loop: the same core without any async runtime, on one thread that polls its sockets.\n\
         crash: the server is {kill}, a read is sent while it is down, the server is started again on\n\
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

/// One of each, written once for all.
async fn use_etcd(
    client: Subject,
    server: &Arc<Server>,
    clock: &mut Clock,
    name: &str,
) -> Result<(), Failure> {
    let (greeting, counter) = (format!("demo/{name}/greeting"), format!("demo/{name}/counter"));
    let put = client.send(Put::new(&greeting, "hello"));
    let first = clock.time(put.into_future()).await?.header.revision;
    let got = clock.time(client.send(Get::new(&greeting)).into_future()).await?;
    demand(got.first().is_some_and(|kv| kv.value == "hello"), "the value put is the value got")?;

    let swap = Txn::new()
        .when([Compare::value(&greeting).equal("hello")])
        .and_then([Put::new(&greeting, "hello again"), Put::new(&counter, "1")])
        .or_else([Get::new(&greeting)]);
    demand(clock.time(client.send(swap).into_future()).await?.succeeded, "the condition holds")?;
    let deleted = clock.time(client.send(Delete::new(&counter).prev_kv()).into_future()).await?;
    demand(deleted.prev_kvs.iter().map(|kv| &*kv.value).eq([b"1"]), "the counter is deleted")?;
    let now = deleted.header.revision;
    clock.time(client.send(Compact::new(now)).into_future()).await?;
    let old = client.send(Get::new(&greeting).revision(first)).await;
    let refused = old.is_err_and(|error| error.etcd() == Some(EtcdError::Compacted));
    demand(refused, "the history is compacted")?;

    server.kill();
    let restart = restart(server.clone(), client.clone());
    let read = client.send(Get::new(&greeting)).timeout(PATIENCE);
    let got = clock.time(read.into_future()).await?;
    restart.join().map_err(|_| "the thread that restarts the server panicked")??;
    demand(got.first().is_some_and(|kv| kv.value == "hello again"), "the value has survived")?;
    let put = clock.time(client.send(Put::new(&counter, "2")).into_future()).await?;
    demand(put.header.revision > now, "the history goes on")
}

/// Starts the server again, on a thread, when the client has missed it.
fn restart(server: Arc<Server>, client: Subject) -> thread::JoinHandle<Result<(), Failure>> {
    thread::spawn(move || {
        let (begin, connects) = (Instant::now(), client.stats().connects);
        while client.stats().connects == connects && begin.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
        server.restart()
    })
}

fn demand(holds: bool, what: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(format!("not so: {what}").into()) }
}
