//! `etcdium-conformance`: the suite as a program.

#![forbid(unsafe_code)]

use std::collections::VecDeque;
use std::error::Error;
use std::process::ExitCode;
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use etcdium_conformance::differential;
use etcdium_conformance::etcd::provision::{self, Request};
use etcdium_conformance::report::{HEADING, Totals, row};
use etcdium_conformance::scenario::{self, Runtime, Scenario};
use etcdium_conformance::soak;
use etcdium_conformance::suite::{Suite, Trial, examples};

const USAGE: &str = "usage: etcdium-conformance <command>

  run [--endpoint URL | --etcd 3.4|3.5|3.6|3.7|EXACT] [--runtime NAME|all] [--only ID]
                                  run the cases and print a table; several URLs, names or ids are separated by
                                  commas. Without a URL servers are started as needed. With one only those cases are
                                  run that need no control of the servers, under a key prefix of their own that is
                                  deleted at the end.
  list                            list the cases
  differential [--etcd 3.4|3.5|3.6|3.7|EXACT] [--scripts N] [--seed S] [--operations N] [--replay I,J,...]
                                  run the same random scripts against the model etcd and a real one and compare every
                                  answer; with --replay only those operations of the script S, on fresh servers
  soak [--minutes M] [--seed S] [--etcd 3.4|3.5|3.6|3.7|EXACT]
                                  watches, leases and writers on every runtime while members are killed, stopped and
                                  cut off at random, for M (1) minutes; everything told has to be what happened
  etcd [3.4|3.5|3.6|3.7|EXACT]    provide an etcd server binary and print its path; 3.7-gofail is built with failpoints
  examples                        run the examples of etcdium-client against a live etcd";

/// Enough to use the time in which cases wait for servers; they hardly compute.
const THREADS: usize = 3;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) =
        args.split_first().map_or(("", &[][..]), |(command, rest)| (command.as_str(), rest));
    let outcome = match (command, rest) {
        ("run", options) => run(options),
        ("differential", options) => differential(options),
        ("soak", options) => soak(options),
        ("list", []) => {
            print!("{}", list());
            Ok(())
        }
        ("etcd", version) => etcd(version),
        ("examples", []) => {
            Request::from_env().map_err(Into::into).and_then(|request| Ok(examples(request)?))
        }
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

/// Runs cases and prints a row for each as it ends.
fn run(args: &[String]) -> Result<(), Box<dyn Error>> {
    let (mut endpoints, mut etcd, mut runtimes, mut only) = (None, None, Runtime::ALL.to_vec(), None);
    let mut args = args.iter();
    while let Some(option) = args.next() {
        let mut value = || args.next().ok_or_else(|| format!("{option} needs a value\n{USAGE}"));
        let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
        match option.as_str() {
            "--endpoint" => endpoints = Some(list(value()?)),
            "--etcd" => etcd = Some(value()?.parse()?),
            "--runtime" => runtimes = Runtime::parse_list(value()?)?,
            "--only" => only = Some(list(value()?)),
            _ => return Err(USAGE.into()),
        }
    }
    let suite = match (endpoints, etcd) {
        (Some(_), Some(_)) => return Err("--endpoint and --etcd exclude each other".into()),
        (Some(endpoints), None) => Suite::on_foreign_servers(endpoints)?,
        (None, Some(request)) => Suite::on_own_servers(request),
        (None, None) => Suite::on_own_servers(Request::from_env()?),
    };
    let wanted = |case: &Scenario| match &only {
        Some(ids) => ids.iter().any(|id| *id == case.id || *id == case.name()),
        None => true,
    };
    let trials = suite.plan(&runtimes, wanted);
    if trials.is_empty() {
        return Err(
            "no case has such an id and runs on such a runtime; see `etcdium-conformance list`".into()
        );
    }
    let servers = match trials.iter().all(|trial| trial.runtime == Runtime::Sim) {
        true => "the model etcd, in virtual time".to_owned(),
        false => suite.servers()?,
    };
    println!("{servers}\n\n{HEADING}");
    let totals = make(&suite, trials);
    println!("\n{totals}");
    suite.finish()?;
    if totals.failed > 0 { Err(format!("{} failed", totals.failed).into()) } else { Ok(()) }
}

fn make(suite: &Suite, trials: Vec<Trial>) -> Totals {
    let mut totals = Totals::default();
    let queue = Mutex::new(VecDeque::from(trials));
    let (reports, made) = channel();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let (queue, reports) = (&queue, reports.clone());
            scope.spawn(move || {
                let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                while let Some(trial) = next() {
                    if reports.send(suite.run(trial)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(reports);
        for report in made {
            println!("{}", row(&report));
            totals.add(&report);
        }
    });
    totals
}

/// Compares the model with a real server.
fn differential(args: &[String]) -> Result<(), Box<dyn Error>> {
    let mut etcd = Request::from_env()?;
    let (mut scripts, mut seed, mut operations, mut only) = (200, 1, 200, None);
    let mut args = args.iter();
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} needs a value\n{USAGE}"))?;
        match option.as_str() {
            "--etcd" => etcd = value.parse()?,
            "--scripts" => scripts = value.parse()?,
            "--seed" => seed = value.parse()?,
            "--operations" => operations = value.parse()?,
            "--replay" => only = Some(value.split(',').map(str::parse).collect::<Result<Vec<usize>, _>>()?),
            _ => return Err(USAGE.into()),
        }
    }
    if let Some(indices) = only {
        let difference = differential::replay(&etcd, seed, &indices)?;
        return difference.map_or(Ok(()), |difference| Err(difference.to_string().into()));
    }
    let plan = differential::Plan { etcd, scripts, seed, operations, lanes: 2, stop_after: 5 };
    let summary = differential::run(&plan, |done| {
        if done % 100 == 0 {
            eprintln!("{done} of {scripts} scripts");
        }
    })?;
    for shown in &summary.differences {
        println!("{shown}\n");
    }
    let (count, time) = (summary.differences.len(), summary.time.as_secs_f64());
    println!(
        "{}: {} scripts of {operations} operations in {time:.1} s, {count} differences",
        plan.etcd, summary.scripts
    );
    if count > 0 { Err(format!("{count} differences").into()) } else { Ok(()) }
}

/// Soaks and prints what it came to.
fn soak(args: &[String]) -> Result<(), Box<dyn Error>> {
    let (mut etcd, mut seed, mut minutes) = (Request::from_env()?, None, 1.0_f64);
    let mut args = args.iter();
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} needs a value\n{USAGE}"))?;
        match option.as_str() {
            "--etcd" => etcd = value.parse()?,
            "--seed" => seed = Some(value.parse()?),
            "--minutes" => minutes = value.parse()?,
            _ => return Err(USAGE.into()),
        }
    }
    let time = Duration::try_from_secs_f64(minutes * 60.0)?;
    let plan = soak::Plan::new(etcd, seed.unwrap_or_else(drawn_seed), time);
    let summary = soak::run(&plan, |how| eprintln!("{how}"))
        .map_err(|failure| format!("soak with seed {}: {failure}", plan.seed))?;
    println!("{summary}");
    let count = summary.found;
    if count > 0 { Err(format!("{count} findings; --seed {}", plan.seed).into()) } else { Ok(()) }
}

/// A seed that is another one each time.
fn drawn_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |time| u64::from(time.subsec_micros()))
}

/// Every case with its servers, needs and runtimes.
fn list() -> String {
    let case = |case: &&Scenario| {
        let runtimes = Runtime::ALL.iter().filter(|&&runtime| case.runs_on(runtime));
        let runtimes: Vec<&str> = runtimes.map(|runtime| runtime.name()).collect();
        let foreign = case.forbids_foreign().map(|reason| format!("; {reason}")).unwrap_or_default();
        let (name, title) = (case.name(), case.title);
        format!("{name:<12} {title}\n{:<15}{}; on {}{foreign}\n", "", case.servers(), runtimes.join(", "))
    };
    scenario::all().iter().map(case).collect()
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
