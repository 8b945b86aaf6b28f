//! The figures of runs, their medians, and the result lines.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use crate::Error;
use crate::cases::Case;

/// What one client process printed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) cpu_us_per_op: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) ops_per_s: f64,
    pub(crate) rss_mb: f64,
    /// Times per second that other work pushed the client off its CPU.
    pub(crate) preempted_per_s: f64,
    pub(crate) allocs_per_op: Option<f64>,
    pub(crate) idle_heap: Option<f64>,
    /// By how much resident memory grew, in MiB.
    pub(crate) rss_growth_mb: Option<f64>,
    /// Time to create all watchers or leases, in seconds.
    pub(crate) create_s: Option<f64>,
    /// Events that did not arrive, or leases that were lost.
    pub(crate) lost: Option<f64>,
    /// `p99_us` of the same calls without the slow reader.
    pub(crate) p99_without_us: Option<f64>,
    /// What went wrong.
    pub(crate) trouble: Option<String>,
}

impl Figures {
    /// Reads the line of a client.
    ///
    /// # Errors
    /// A line that is not JSON.
    pub(crate) fn parse(line: &str) -> Result<Self, Error> {
        let value: Value = serde_json::from_str(line)?;
        let number = |name: &str| value[name].as_f64();
        Ok(Self {
            cpu_us_per_op: number("cpu_us_per_op").unwrap_or(0.0),
            p50_us: number("p50_us").unwrap_or(0.0),
            p99_us: number("p99_us").unwrap_or(0.0),
            ops_per_s: number("ops_per_s").unwrap_or(0.0),
            rss_mb: number("rss_mb").unwrap_or(0.0),
            preempted_per_s: number("preempted_per_s").unwrap_or(0.0),
            allocs_per_op: number("allocs_per_op"),
            idle_heap: number("idle_heap"),
            rss_growth_mb: number("rss_growth_mb"),
            create_s: number("create_s"),
            lost: number("lost"),
            p99_without_us: number("p99_without_us"),
            trouble: value["trouble"].as_str().map(str::to_owned),
        })
    }
}

/// The runs of one client on one case.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    runs: Vec<Figures>,
    pub(crate) allocs: f64,
}

impl Runs {
    /// The median of one figure.
    pub(crate) fn median(&self, figure: impl Fn(&Figures) -> f64) -> f64 {
        let mut values: Vec<f64> = self.runs.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => f64::NAN,
            len if len % 2 == 1 => values[middle],
            _ => f64::midpoint(values[middle - 1], values[middle]),
        }
    }

    /// The median of a figure, if all runs have it.
    pub(crate) fn median_of(&self, figure: impl Fn(&Figures) -> Option<f64>) -> Option<f64> {
        let all = self.runs.iter().all(|run| figure(run).is_some());
        (all && !self.runs.is_empty()).then(|| self.median(|run| figure(run).unwrap_or(f64::NAN)))
    }

    /// What went wrong in the first run where something did.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.runs.iter().find_map(|run| run.trouble.as_deref())
    }

    /// Smallest and largest of one figure.
    pub(crate) fn spread(&self, figure: impl Fn(&Figures) -> f64) -> (f64, f64) {
        let values = self.runs.iter().map(figure);
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), value| (min.min(value), max.max(value)))
    }
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Results {
    runs: BTreeMap<(&'static str, usize, String), Runs>,
    /// Heap of a client at rest, in bytes, by client.
    pub(crate) idle: BTreeMap<String, f64>,
    /// What went wrong in the storm of cancelled calls, by client.
    pub(crate) storm: BTreeMap<String, Option<String>>,
}

impl Results {
    pub(crate) fn add(&mut self, case: &Case, client: &str, figures: Figures) {
        self.runs.entry((case.workload, case.concurrency, client.to_owned())).or_default().runs.push(figures);
    }

    pub(crate) fn set_allocs(&mut self, case: &Case, client: &str, allocs: f64) {
        self.runs.entry((case.workload, case.concurrency, client.to_owned())).or_default().allocs = allocs;
    }

    /// The runs of a client on a case; `None` when it did not run there.
    pub(crate) fn of(&self, workload: &'static str, concurrency: usize, client: &str) -> Option<&Runs> {
        self.runs.get(&(workload, concurrency, client.to_owned()))
    }

    /// CPU of one client as a ratio to another's on the same case.
    pub(crate) fn ratio(
        &self,
        workload: &'static str,
        concurrency: usize,
        client: &str,
        to: &str,
    ) -> Option<f64> {
        let cpu = |client| Some(self.of(workload, concurrency, client)?.median(|run| run.cpu_us_per_op));
        Some(cpu(client)? / cpu(to)?)
    }

    /// The most that any timed run of a client with one worker was disturbed, in preemptions per second.
    pub(crate) fn disturbance(&self) -> f64 {
        let single = self.runs.iter().filter(|((_, _, client), _)| !client.ends_with("-multi"));
        single.map(|(_, runs)| runs.median(|run| run.preempted_per_s)).fold(0.0, f64::max)
    }

    /// One line per load, client and concurrency.
    pub(crate) fn json_lines(&self, cases: &[Case], clients: &[String]) -> String {
        let mut lines = String::new();
        for case in cases {
            for client in clients {
                let Some(runs) = self.of(case.workload, case.concurrency, client) else { continue };
                let _ = writeln!(
                    lines,
                    "{{\"workload\":\"{}\",\"client\":\"{client}\",\"concurrency\":{},\"cpu_us_per_op\":{:.3},\
                     \"p50_us\":{:.1},\"p99_us\":{:.1},\"ops_per_s\":{:.0},\"allocs_per_op\":{:.2},\"rss_mb\":{:.1},\
                     \"rss_growth_mb\":{},\"create_s\":{},\"lost\":{},\"p99_without_us\":{}}}",
                    case.workload,
                    case.concurrency,
                    runs.median(|run| run.cpu_us_per_op),
                    runs.median(|run| run.p50_us),
                    runs.median(|run| run.p99_us),
                    runs.median(|run| run.ops_per_s),
                    runs.allocs,
                    runs.median(|run| run.rss_mb),
                    or_null(runs.median_of(|run| run.rss_growth_mb)),
                    or_null(runs.median_of(|run| run.create_s)),
                    or_null(runs.median_of(|run| run.lost)),
                    or_null(runs.median_of(|run| run.p99_without_us)),
                );
            }
        }
        lines
    }
}

fn or_null(figure: Option<f64>) -> String {
    figure.map_or_else(|| "null".to_owned(), |figure| format!("{figure:.3}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(cpu: &[f64]) -> Runs {
        let runs = cpu.iter().map(|cpu| Figures { cpu_us_per_op: *cpu, ..Figures::default() }).collect();
        Runs { runs, allocs: 0.0 }
    }

    #[test]
    fn medians_stand_in_the_middle() {
        assert_eq!(runs(&[3.0, 1.0, 9.0]).median(|run| run.cpu_us_per_op), 3.0);
        assert_eq!(runs(&[3.0, 1.0, 9.0, 4.0]).median(|run| run.cpu_us_per_op), 3.5);
        assert_eq!(runs(&[3.0, 1.0, 9.0]).spread(|run| run.cpu_us_per_op), (1.0, 9.0));
    }

    #[test]
    fn result_lines_are_json_with_the_agreed_fields() {
        let case = crate::cases::selected(&crate::args::Options::default())[0];
        let mut results = Results::default();
        let line = r#"{"cpu_us_per_op":2.5,"p50_us":1,"p99_us":2,"ops_per_s":3,"allocs_per_op":null,"rss_mb":4,"lost":7}"#;
        results.add(&case, "hyper", Figures::parse(line).expect("parses"));
        results.set_allocs(&case, "hyper", 14.0);
        let value: Value =
            serde_json::from_str(&results.json_lines(&[case], &["hyper".to_owned()])).expect("one JSON line");
        let names: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
        let mut wanted = [
            "workload",
            "client",
            "concurrency",
            "cpu_us_per_op",
            "p50_us",
            "p99_us",
            "ops_per_s",
            "allocs_per_op",
            "rss_mb",
            "rss_growth_mb",
            "create_s",
            "lost",
            "p99_without_us",
        ];
        wanted.sort_unstable();
        assert_eq!(names, wanted);
        assert_eq!(value["cpu_us_per_op"], 2.5);
        assert_eq!(value["lost"], 7.0);
        assert!(value["create_s"].is_null());
        assert_eq!(value["allocs_per_op"], 14.0);
    }
}
