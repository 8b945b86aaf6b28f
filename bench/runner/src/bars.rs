//! The bars that etcdium must pass, and whether it does.

use crate::cases::{BURST, WATCHERS};
use crate::figures::{Results, Runs};

const OURS: &str = "etcdium-tokio";

/// CPU per call of etcdium on tokio, as a ratio to bare hyper and to etcd-client, at most.
const RATIOS: [(&str, usize, f64, f64); 7] = [
    ("put", 1, 1.00, 0.92),
    ("put", 16, 1.00, 0.50),
    ("put", 256, 0.90, 0.36),
    ("get", 16, 0.95, 0.72),
    ("get", 256, 0.85, 0.53),
    ("range1000", 4, 1.05, 0.75),
    ("put1100", 64, 0.45, 0.50),
];

/// CPU per event in the same way.
const EVENTS: [(&str, f64, f64); 2] = [("watch_batched", 1.05, 0.60), ("watch_revisions", 1.25, 0.75)];

/// Loads on which the runtimes are compared with each other: from 16 in flight on.
const STEADY: [(&str, usize); 5] = [("put", 16), ("put", 256), ("get", 16), ("get", 256), ("put1100", 64)];

/// One bar: what, measured, at most.
struct Bar(String, f64, f64);

/// Prints every bar that has a measurement. Says whether all of them are passed.
pub(crate) fn print(results: &Results) -> bool {
    let bars = collect(results);
    if bars.is_empty() {
        println!("\nBars: none, since etcdium was not among the clients.");
        return true;
    }
    println!("\n{:<58}{:>10}{:>10}", "bar", "measured", "at most");
    let mut passed = true;
    for Bar(what, measured, at_most) in &bars {
        let met = measured <= at_most;
        passed &= met;
        println!("{what:<58}{measured:>10.2}{at_most:>10.2}  {}", if met { "pass" } else { "FAIL" });
    }
    println!("{} of {} bars passed", bars.iter().filter(|bar| bar.1 <= bar.2).count(), bars.len());
    passed
}

fn collect(results: &Results) -> Vec<Bar> {
    let mut bars = Vec::new();
    let mut ratio = |workload, concurrency, client: &str, to: &str, at_most| {
        if let Some(measured) = results.ratio(workload, concurrency, client, to) {
            bars.push(Bar(format!("{workload} c={concurrency}: {client} / {to}, CPU"), measured, at_most));
        }
    };
    for (workload, concurrency, hyper, incumbent) in RATIOS {
        ratio(workload, concurrency, OURS, "hyper", hyper);
        ratio(workload, concurrency, OURS, "etcd-client", incumbent);
    }
    for (workload, concurrency) in STEADY {
        ratio(workload, concurrency, "etcdium-smol", OURS, 1.15);
        ratio(workload, concurrency, "etcdium-async-std", OURS, 1.30);
    }
    for (workload, concurrency) in
        [("put", 1), ("put", 16), ("put", 256), ("get", 1), ("get", 16), ("get", 256)]
    {
        ratio(workload, concurrency, "etcdium-tokio-multi", "hyper-multi", 1.00);
    }
    for (workload, concurrency) in
        [("put", 1), ("put", 16), ("put", 256), ("get", 1), ("get", 16), ("get", 256)]
    {
        if let Some(runs) = results.of(workload, concurrency, OURS) {
            let what = format!("{workload} c={concurrency}: {OURS}, allocations per call");
            bars.push(Bar(what, runs.allocs, 14.0));
        }
    }
    streams(results, &mut bars);
    if let Some(runs) = results.of("put", BURST, OURS) {
        let what = format!("put c={BURST}: {OURS}, peak RSS in MB");
        bars.push(Bar(what, runs.spread(|run| run.rss_mb).1, 100.0));
    }
    if let Some(bytes) = results.idle.get(OURS) {
        bars.push(Bar(format!("{OURS} at rest, heap in MB"), bytes / 1e6, 1.0));
    }
    if let Some(outcome) = results.storm.get(OURS) {
        let failures = if outcome.is_some() { 1.0 } else { 0.0 };
        bars.push(Bar(format!("{OURS}, failed storms of cancelled puts"), failures, 0.0));
    }
    bars
}

/// Bars of watches and leases.
fn streams(results: &Results, bars: &mut Vec<Bar>) {
    let ours = |workload, concurrency| results.of(workload, concurrency, OURS);
    let mut bar = |what: String, measured: Option<f64>, at_most| {
        bars.extend(measured.map(|measured| Bar(what, measured, at_most)));
    };
    let ratio = |workload, concurrency, to| results.ratio(workload, concurrency, OURS, to);
    for (workload, hyper, incumbent) in EVENTS {
        for (to, at_most) in [("hyper", hyper), ("etcd-client", incumbent)] {
            bar(format!("{workload}: {OURS} / {to}, CPU per event"), ratio(workload, 1, to), at_most);
        }
    }
    for (workload, concurrency) in [
        ("watch_batched", 1),
        ("watch_revisions", 1),
        ("watch_tiny", 1),
        (WATCHERS, 256),
        ("leases10k", 256),
        ("slow_reader", 16),
    ] {
        let lost = |runs: &Runs| {
            if runs.trouble().is_some() {
                f64::INFINITY
            } else {
                runs.spread(|run| run.lost.unwrap_or(f64::INFINITY)).1
            }
        };
        bar(format!("{workload}: {OURS}, lost"), ours(workload, concurrency).map(lost), 0.0);
    }
    for workload in [WATCHERS, "leases10k"] {
        let growth = ours(workload, 256).and_then(|runs| runs.median_of(|run| run.rss_growth_mb));
        bar(format!("{workload}: {OURS}, memory growth in MB"), growth, 10.0);
    }
    let create = |client| results.of(WATCHERS, 256, client)?.median_of(|run| run.create_s);
    let time = create(OURS).zip(create("etcd-client")).map(|(ours, theirs)| ours / theirs);
    bar(format!("{WATCHERS}: {OURS} / etcd-client, time to create all"), time, 0.50);
    bar(
        format!("leases10k: {OURS} / etcd-client, CPU per renewal"),
        ratio("leases10k", 256, "etcd-client"),
        0.45,
    );
    let slow = ours("slow_reader", 16);
    let p99 = slow.and_then(|runs| runs.median_of(|run| Some(run.p99_us / run.p99_without_us?)));
    bar("slow_reader: p99 of puts, with / without it".to_owned(), p99, 1.50);
}
