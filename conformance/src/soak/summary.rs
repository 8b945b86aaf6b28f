//! What a soak came to: a short table, and what was found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use etcdium_client::Revision;

use super::findings::{Counters, Findings};
use super::party::Report;
use super::plan::Plan;
use super::watch::Told;
use crate::chaos::{Performed, Step};

/// Memory that a soak may need beyond what it records.
const SLACK: usize = 192 << 20;

/// The result of a soak.
#[derive(Debug)]
pub struct Summary {
    /// The servers.
    pub etcd: String,
    /// What was asked for.
    pub plan: Plan,
    /// What there was, by name.
    pub rows: Vec<(&'static str, String)>,
    /// Broken promises; at most a hundred are told.
    pub findings: Vec<String>,
    /// How many there are.
    pub found: usize,
}

/// What a summary is made of.
pub(super) struct Facts {
    pub(super) plan: Plan,
    pub(super) etcd: String,
    pub(super) counters: Counters,
    pub(super) findings: Findings,
    pub(super) performed: Vec<Performed>,
    pub(super) reports: Vec<Report>,
    /// The last revision.
    pub(super) revisions: Revision,
    /// Events of the history.
    pub(super) history: usize,
    /// Memory, in bytes.
    pub(super) grown: usize,
    pub(super) caught_up: Duration,
}

impl Summary {
    pub(super) fn new(facts: Facts) -> Self {
        let Facts { plan, etcd, counters: c, findings, performed, reports, .. } = facts;
        let sum = |field: fn(&Report) -> u64| reports.iter().map(field).sum::<u64>();
        let count = |field: fn(&Report) -> usize| reports.iter().map(field).sum::<usize>() as u64;
        let mut rows = vec![
            (
                "writes",
                counts(&[
                    (c.writes.get(), "applied"),
                    (c.writes_unknown.get(), "unknown"),
                    (c.writes_not_applied.get(), "not applied"),
                ]),
            ),
            ("history", format!("{} revisions, {} events", facts.revisions, facts.history)),
            (
                "told",
                counts(&[
                    (c.revisions.get(), "revisions"),
                    (c.events.get(), "events"),
                    (c.bare.get(), "revisions without the pairs before (etcd's)"),
                ]),
            ),
            (
                "watches",
                counts(&[
                    (count(|report| report.lives.len()), "lives"),
                    (c.cancelled.get(), "cancelled on the way"),
                    (c.dropped.get(), "dropped on the way"),
                    (count(|report| report.mirrors.len()), "followers"),
                ]),
            ),
            (
                "progress",
                counts(&[(c.progress.get(), "told"), (c.progress_late.get(), "not answered in time")]),
            ),
            ("disconnected", counts(&[(c.disconnected.get(), "told"), (c.resumed.get(), "resumed")])),
            ("parked", format!("seen {} times", c.parked.get())),
            (
                "leases",
                counts(&[
                    (c.granted.get(), "granted"),
                    (c.grants_failed.get(), "failed"),
                    (c.renewed.get(), "renewals"),
                    (c.at_risk.get(), "times at risk"),
                    (c.looked_up.get(), "looked up"),
                ]),
            ),
            (
                "leases ended",
                counts(&[
                    (c.expired.get(), "expired"),
                    (c.not_found.get(), "not found"),
                    (c.revoked.get(), "revoked"),
                    (c.left.get(), "left"),
                    (c.betrayed.get(), "revoked by others"),
                    (
                        c.let_go.get(),
                        "let go or renewed by etcd wrongly after a pause of its leader (etcd's)",
                    ),
                ]),
            ),
            (
                "connections",
                counts(&[
                    (sum(|report| report.stats.connects), "attempts"),
                    (sum(|report| report.stats.connections_lost), "lost"),
                    (sum(|report| report.stats.calls_opened), "calls"),
                    (sum(|report| report.stats.probes), "probes"),
                ]),
            ),
            ("faults", faults(&performed)),
            ("memory", format!("grew by {} MiB", facts.grown >> 20)),
            (
                "at the end",
                format!("all was read {:.1} s after the last write", facts.caught_up.as_secs_f64()),
            ),
        ];
        let (findings, found) = findings.take();
        if found > 0 {
            rows.push(("members", taken(&performed)));
        }
        Self { etcd, plan, rows, findings, found }
    }
}

/// How often what.
fn counts(rows: &[(u64, &str)]) -> String {
    rows.iter().map(|(count, what)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
}

/// The blows by kind.
fn faults(performed: &[Performed]) -> String {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for step in performed {
        if let Step::Strike(wound) = step.step {
            let name = format!("{:?}", wound.blow);
            *kinds.entry(name.split('(').next().unwrap_or_default().to_lowercase()).or_default() += 1;
        }
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if kinds.is_empty() { "none".to_owned() } else { kinds.join(", ") }
}

/// When members were frozen or killed, and healed: what findings are compared with.
fn taken(performed: &[Performed]) -> String {
    let told = performed.iter().filter_map(|Performed { after, step }| {
        let (Step::Strike(wound) | Step::Heal(wound)) = *step else { return None };
        let what = if matches!(step, Step::Strike(_)) { "" } else { "healed of " };
        let told = || format!("{:.1} s: {} {what}{:?}", after.as_secs_f64(), wound.member, wound.blow);
        wound.blow.takes_member().then(told)
    });
    told.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.plan.time.as_secs();
        writeln!(f, "soak of {time} s, seed {}, {}", self.plan.seed, self.etcd)?;
        for (name, value) in &self.rows {
            writeln!(f, "  {name:<13} {value}")?;
        }
        for finding in &self.findings {
            writeln!(f, "FOUND {finding}")?;
        }
        if self.found > self.findings.len() {
            writeln!(f, "and {} more", self.found - self.findings.len())?;
        }
        write!(f, "{} findings", self.found)
    }
}

/// How far the memory may grow: the records of what was told, twice for lists that grow, and a fixed part.
pub(super) fn memory_bound(reports: &[Report]) -> usize {
    let lives = reports.iter().flat_map(|report| &report.lives);
    let told: usize = lives.map(|life| life.told.len()).sum();
    let written: usize = reports.iter().map(|report| report.written.len()).sum();
    SLACK + 2 * (told * size_of::<Told>() + written * size_of::<super::writer::Written>())
}

/// The memory of this process, in bytes; zero where the system does not tell.
pub(super) fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split_whitespace().nth(1)?.parse::<usize>().ok());
    pages.unwrap_or(0) * rustix::param::page_size()
}
