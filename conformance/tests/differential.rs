//! The model etcd of `etcdium-sim` against real ones: see `etcdium_conformance::differential`.
//!
//! 200 scripts for 3.7 and, for what was different then, 200 for 3.4. `ETCDIUM_SCRIPTS` is another number for both,
//! `ETCDIUM_SEED` the seed of the first script (1), `ETCDIUM_ETCD_VERSION` the only version to compare with.

use std::process::ExitCode;

use etcdium_conformance::differential::{Dropped, Overtaking, Plan, dropped, overtaking, run};
use etcdium_conformance::etcd::provision::Request;

const OPERATIONS: usize = 200;
/// How often progress is given the chance to overtake events, and a deletion to get lost.
const ATTEMPTS: usize = 20;

fn main() -> ExitCode {
    // `cargo test -- --list` and the like are none of its business.
    if std::env::args().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    match compare() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare() -> Result<bool, Box<dyn std::error::Error>> {
    let number = |name: &str| match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse().map(Some).map_err(|error| format!("{name}: {error}")),
        _ => Ok(None),
    };
    let (scripts, seed) = (number("ETCDIUM_SCRIPTS")?, number("ETCDIUM_SEED")?.unwrap_or(1));
    let plans: Vec<(Request, u64)> = match std::env::var("ETCDIUM_ETCD_VERSION") {
        Ok(version) if !version.is_empty() => vec![(version.parse()?, 200)],
        _ => vec![("3.7".parse()?, 200), ("3.4".parse()?, 200)],
    };
    let mut same = true;
    for (etcd, usual) in plans {
        let scripts = scripts.unwrap_or(usual);
        let plan = Plan { etcd, scripts, seed, operations: OPERATIONS, lanes: 2, stop_after: 5 };
        let summary = run(&plan, |_| ())?;
        println!(
            "{}: {} scripts of {OPERATIONS} operations in {:.1} s, {} differences",
            plan.etcd,
            summary.scripts,
            summary.time.as_secs_f64(),
            summary.differences.len()
        );
        for shown in &summary.differences {
            println!("\n{shown}");
        }
        same &= summary.differences.is_empty() && overtakes(&plan.etcd)? && drops(&plan.etcd)?;
    }
    Ok(same)
}

/// Whether progress overtakes events where it should (etcd issue 15220: before 3.4.25 and 3.5.8) and nowhere else, on the
/// server and in the model.
fn overtakes(etcd: &Request) -> Result<bool, Box<dyn std::error::Error>> {
    let Overtaking { attempts, real, model } = overtaking(etcd, ATTEMPTS)?;
    println!("{etcd}: progress overtook events in {real} of {attempts} attempts; in the model in {model}");
    let old = etcd.to_string().starts_with("3.4");
    Ok(old == (real > 0) && old == (model > 0))
}

/// Whether a compaction drops the deletions of its revision where it should and nowhere else, on the server and in the
/// model (etcd issue 18089).
fn drops(etcd: &Request) -> Result<bool, Box<dyn std::error::Error>> {
    let Dropped { attempts, real, scheduled, model } = dropped(etcd, ATTEMPTS)?;
    println!(
        "{etcd}: a physical compaction dropped a deletion in {real} of {attempts} attempts, a scheduled one by chance in \
         {scheduled}; in the model in {model}"
    );
    let all = if etcd.to_string().starts_with("3.4") { attempts } else { 0 };
    Ok((real, model) == (all, all))
}
