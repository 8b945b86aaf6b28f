//! The readable table.

use crate::cases::Case;
use crate::figures::Results;

/// Preemptions per second from which a run counts as disturbed; an idle machine stays below 20.
const DISTURBED: f64 = 60.0;

/// Prints one block per case.
pub(crate) fn print(results: &Results, cases: &[Case], clients: &[String]) {
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
