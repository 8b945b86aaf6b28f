//! The readable table.

use crate::cases::{Case, Kind};
use crate::figures::Results;

/// Preemptions per second from which a run counts as disturbed; an idle machine stays below 20.
const DISTURBED: f64 = 60.0;

/// Prints one block per case.
pub(crate) fn print(results: &Results, cases: &[Case], clients: &[String]) {
    let (streams, calls): (Vec<Case>, Vec<Case>) = cases.iter().partition(|case| case.kind != Kind::Calls);
    if !calls.is_empty() {
        print_calls(results, &calls, clients);
    }
    if !streams.is_empty() {
        print_streams(results, &streams, clients);
    }
    if !results.idle.is_empty() {
        println!("\n{:<20}{:>16}  10,000 puts dropped at once, three times", "client", "heap at rest kB");
        for (client, bytes) in &results.idle {
            let failure = results.storm.get(client).and_then(Option::as_deref);
            // The client's own words are the last line.
            let storm = failure.and_then(|text| text.lines().last()).unwrap_or("connection alive");
            println!("{client:<20}{:>16.1}  {storm:.110}", bytes / 1_000.0);
        }
    }
    let disturbance = results.disturbance();
    if disturbance > DISTURBED {
        println!(
            "\nNOISY: other work pushed a client off its CPU up to {disturbance:.0} times a second. \
             Compare nothing that differs by less than its spread."
        );
    }
}

/// Watches and leases. The CPU is that per event, watcher, renewal, or put.
fn print_streams(results: &Results, cases: &[Case], clients: &[String]) {
    println!(
        "\n{:<16}{:<20}{:>9}{:>16}{:>8}{:>13}{:>8}{:>9}{:>9}{:>10}{:>9}{:>9}",
        "load",
        "client",
        "CPU us",
        "min..max",
        "/hyper",
        "/etcd-client",
        "allocs",
        "p99 us",
        "without",
        "growth MB",
        "create s",
        "lost"
    );
    for case in cases {
        println!();
        for client in clients {
            let Some(runs) = results.of(case.workload, case.concurrency, client) else { continue };
            let ratio = |to: &str| {
                let ratio = results.ratio(case.workload, case.concurrency, client, to);
                or_dash(ratio.filter(|ratio| ratio.is_finite() && *ratio > 0.0), 2)
            };
            let (min, max) = runs.spread(|run| run.cpu_us_per_op);
            let latency = |us: f64| or_dash(Some(us).filter(|us| *us > 0.0), 0);
            println!(
                "{:<16}{client:<20}{:>9.3}{:>16}{:>8}{:>13}{:>8.2}{:>9}{:>9}{:>10}{:>9}{:>9}",
                case.workload,
                runs.median(|run| run.cpu_us_per_op),
                format!("{min:.3}..{max:.3}"),
                ratio("hyper"),
                ratio("etcd-client"),
                runs.allocs,
                latency(runs.median(|run| run.p99_us)),
                or_dash(runs.median_of(|run| run.p99_without_us), 0),
                or_dash(runs.median_of(|run| run.rss_growth_mb), 1),
                or_dash(runs.median_of(|run| run.create_s), 3),
                or_dash(runs.median_of(|run| run.lost), 0),
            );
            if let Some(trouble) = runs.trouble() {
                println!("{:<16}  {trouble:.140}", "");
            }
        }
    }
}

fn or_dash(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
}

fn print_calls(results: &Results, cases: &[Case], clients: &[String]) {
    println!(
        "{:<14}{:<20}{:>9}{:>16}{:>8}{:>13}{:>10}{:>10}{:>10}{:>8}{:>8}",
        "load",
        "client",
        "CPU us",
        "min..max",
        "/hyper",
        "/etcd-client",
        "p50 us",
        "p99 us",
        "ops/s",
        "allocs",
        "RSS MB"
    );
    for case in cases {
        println!();
        for client in clients {
            let Some(runs) = results.of(case.workload, case.concurrency, client) else { continue };
            let ratio = |to: &str| {
                let ratio = results.ratio(case.workload, case.concurrency, client, to);
                ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
            };
            let (min, max) = runs.spread(|run| run.cpu_us_per_op);
            println!(
                "{:<14}{client:<20}{:>9.2}{:>16}{:>8}{:>13}{:>10.0}{:>10.0}{:>10.0}{:>8.1}{:>8.1}",
                case.title(),
                runs.median(|run| run.cpu_us_per_op),
                format!("{min:.2}..{max:.2}"),
                ratio("hyper"),
                ratio("etcd-client"),
                runs.median(|run| run.p50_us),
                runs.median(|run| run.p99_us),
                runs.median(|run| run.ops_per_s),
                runs.allocs,
                runs.median(|run| run.rss_mb),
            );
        }
    }
}
