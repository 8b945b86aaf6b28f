//! `cargo xtask test`: everything CI checks, step by step, with a summary at the end.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::cargo::{cargo, output, run as run_command, target_dir};
use crate::{Outcome, api, codegen, deny, fuzz, lines, msrv, purity, sim, soak};

/// What the user narrowed the run down to.
#[derive(Debug, Default)]
struct Filter {
    /// A step, or the beginning of case names.
    only: Option<String>,
    runtime: Option<String>,
    /// A version, or `all`.
    etcd: Option<String>,
}

/// One thing to check.
struct Step {
    name: &'static str,
    about: &'static str,
    check: fn(&Filter) -> Outcome,
}

/// Cheap steps first.
const STEPS: &[Step] = &[
    Step { name: "fmt", about: "formatting", check: |_| fmt() },
    Step { name: "lines", about: "file sizes, nothing unfinished", check: |_| lines::run() },
    Step {
        name: "codegen",
        about: "generated code is up to date",
        check: |_| codegen::run(&["--check".into()]),
    },
    Step { name: "msrv", about: "dependencies keep to the Rust version", check: |_| msrv::run() },
    Step { name: "purity", about: "core touches nothing", check: |_| purity::run() },
    Step { name: "clippy", about: "lints", check: |_| clippy() },
    Step { name: "unit", about: "unit, property and loopback tests", check: |_| unit() },
    Step { name: "fuzz", about: "fuzz targets: 30 s each, or 10 s as properties", check: |_| fuzz::check() },
    Step { name: "doc", about: "documentation tests", check: |_| doctest() },
    Step { name: "sim", about: "seeds of the simulated world, planted bugs", check: |_| sim::check() },
    Step { name: "live", about: "conformance cases against live etcd", check: live },
    Step { name: "differential", about: "the model etcd against real ones", check: differential },
    Step { name: "soak", about: "a minute of watches and leases under faults", check: soak },
    Step { name: "examples", about: "examples against live etcd", check: |_| examples() },
    Step { name: "docs", about: "documentation builds without a warning", check: |_| docs() },
    Step { name: "api", about: "no foreign types in public signatures", check: |_| api::run() },
    Step { name: "deny", about: "licences, bans, sources, advisories", check: |_| deny::run() },
];

/// Runs the task.
///
/// # Errors
/// The names of the steps that failed.
pub(crate) fn run(args: &[String]) -> Outcome {
    let mut filter = Filter::default();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let slot = match arg.as_str() {
            "--only" => &mut filter.only,
            "--runtime" => &mut filter.runtime,
            "--etcd" => &mut filter.etcd,
            _ => return Err(format!(
                "{arg}: usage: cargo xtask test [--only STEP|CASE] [--runtime NAME|all] [--etcd VERSION|all]"
            )
            .into()),
        };
        *slot = Some(args.next().ok_or_else(|| format!("{arg} needs a value"))?.clone());
    }
    let named = STEPS.iter().find(|step| filter.only.as_deref() == Some(step.name));
    let steps: Vec<&Step> = match (&filter.only, named) {
        (None, _) => STEPS.iter().collect(),
        (Some(_), Some(step)) => vec![step],
        // The name of a case: only the live step has those.
        (Some(_), None) => STEPS.iter().filter(|step| step.name == "live").collect(),
    };
    if named.is_some() {
        filter.only = None;
    }
    let mut results = Vec::new();
    for step in steps {
        println!("\n=== {}: {}", step.name, step.about);
        let start = Instant::now();
        let outcome = (step.check)(&filter);
        if let Err(error) = &outcome {
            eprintln!("{}: {error}", step.name);
        }
        results.push((step, outcome.is_ok(), start.elapsed()));
    }
    summary(&results)
}

fn summary(results: &[(&Step, bool, Duration)]) -> Outcome {
    println!("\n=== summary");
    for (step, passed, time) in results {
        let verdict = if *passed { "ok" } else { "FAILED" };
        println!("{:<12} {verdict:<7} {:>6.1} s  {}", step.name, time.as_secs_f64(), step.about);
    }
    let failed: Vec<&str> =
        results.iter().filter(|(_, passed, _)| !passed).map(|(step, ..)| step.name).collect();
    println!("steps: {} passed, {} failed", results.len() - failed.len(), failed.len());
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", ")).into()) }
}

fn fmt() -> Outcome {
    run_command(&mut cargo(&["fmt", "--all", "--check"]))?;
    run_command(&mut cargo(&["fmt", "--all", "--check", "--manifest-path", "fuzz/Cargo.toml"]))?;
    run_command(&mut cargo(&["fmt", "--all", "--check", "--manifest-path", "bench/Cargo.toml"]))
}

fn clippy() -> Outcome {
    let args =
        ["clippy", "--workspace", "--all-targets", "--all-features", "--locked", "--", "-D", "warnings"];
    run_command(&mut cargo(&args))?;
    // In folders of their own, which the steps that run these use, too.
    let mut fuzz = cargo(&["clippy", "--all-targets", "--locked", "--manifest-path", "fuzz/Cargo.toml"]);
    fuzz.arg("--target-dir").arg(target_dir().join("fuzz")).args(["--", "-D", "warnings"]);
    run_command(&mut fuzz)?;
    let mut planted = cargo(&["clippy", "--locked", "-p", "etcdium-core", "-p", "etcdium-sim"]);
    run_command(sim::with_planted(&mut planted).args(["--", "-D", "warnings"]))
}

fn unit() -> Outcome {
    let args = [
        "test",
        "--workspace",
        "--exclude",
        "etcdium-conformance",
        "--all-features",
        "--locked",
        "--lib",
        "--bins",
        "--tests",
    ];
    run_command(&mut cargo(&args))?;
    run_command(&mut cargo(&[
        "test",
        "-p",
        "etcdium-conformance",
        "--locked",
        "--lib",
        "--bins",
        "--test",
        "demo",
    ]))
}

fn doctest() -> Outcome {
    run_command(&mut cargo(&["test", "--workspace", "--all-features", "--locked", "--doc"]))
}

/// The versions of etcd that are asked for, one after the other: none is the default one, `all` is every minor.
fn versions(filter: &Filter) -> Vec<Option<&str>> {
    match filter.etcd.as_deref() {
        Some("all") => MINORS.map(Some).to_vec(),
        version => vec![version],
    }
}

/// Every minor of etcd that there are servers for.
const MINORS: [&str; 4] = ["3.4", "3.5", "3.6", "3.7"];

/// Runs a command for every version, also after one for which it failed.
fn for_versions(filter: &Filter, run: impl Fn(Option<&str>) -> Outcome) -> Outcome {
    let mut failed = Vec::new();
    for version in versions(filter) {
        if let Some(version) = version {
            println!("--- etcd {version}");
        }
        if let Err(error) = run(version) {
            failed.push(
                version.map_or_else(|| error.to_string(), |version| format!("etcd {version}: {error}")),
            );
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ").into()) }
}

fn live(filter: &Filter) -> Outcome {
    for_versions(filter, |version| live_on(filter, version))
}

fn live_on(filter: &Filter, version: Option<&str>) -> Outcome {
    if let Some(only) = &filter.only {
        let listed = output(live_command(filter, version).arg("--list"))?;
        // A run of no case would succeed.
        if !listed.lines().any(|line| line.ends_with(": test")) {
            return Err(format!("{only}: neither a step nor in the name of a case").into());
        }
    }
    run_command(&mut live_command(filter, version))
}

fn live_command(filter: &Filter, version: Option<&str>) -> Command {
    let mut command = cargo(&["test", "-p", "etcdium-conformance", "--locked", "--test", "live"]);
    if filter.only.is_none() {
        command.args(["--test", "launcher", "--test", "etcdctl"]);
    }
    if let Some(runtime) = &filter.runtime {
        command.env("ETCDIUM_RUNTIME", runtime);
    }
    if let Some(version) = version {
        command.env("ETCDIUM_ETCD_VERSION", version);
    }
    if let Some(only) = &filter.only {
        command.args(["--", only]);
    }
    command
}

fn differential(filter: &Filter) -> Outcome {
    for_versions(filter, |version| {
        let mut command = cargo(&["test", "-p", "etcdium-conformance", "--locked", "--test", "differential"]);
        if let Some(version) = version {
            command.env("ETCDIUM_ETCD_VERSION", version);
        }
        run_command(&mut command)
    })
}

fn soak(filter: &Filter) -> Outcome {
    for_versions(filter, soak::check)
}

fn examples() -> Outcome {
    run_command(&mut cargo(&[
        "run",
        "--quiet",
        "-p",
        "etcdium-conformance",
        "--bin",
        "etcdium-conformance",
        "--",
        "examples",
    ]))
}

fn docs() -> Outcome {
    let args = ["doc", "--workspace", "--all-features", "--no-deps", "--locked"];
    run_command(cargo(&args).env("RUSTDOCFLAGS", "-D warnings"))
}
