//! The table that `etcdium-conformance run` prints.

use std::fmt::Write;

use crate::suite::{Report, Verdict};

/// The heading of the rows of [`row`].
pub const HEADING: &str = "id           runtime      result       time  reason";

/// One report as a row.
pub fn row(report: &Report) -> String {
    let (result, reason) = match &report.verdict {
        Verdict::Passed => ("passed", ""),
        Verdict::Skipped(reason) => ("skipped", reason.as_str()),
        Verdict::Failed(reason) => ("FAILED", reason.as_str()),
    };
    let mut lines = reason.lines();
    let mut row = format!(
        "{:<12} {:<12} {result:<8} {:>6.2} s  {}",
        report.trial.case.name(),
        report.trial.runtime,
        report.time.as_secs_f64(),
        lines.next().unwrap_or(""),
    );
    row.truncate(row.trim_end().len());
    for line in lines {
        // Writing to a string cannot fail.
        let _ = write!(row, "\n    {line}");
    }
    row
}

/// How many passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All checks held.
    pub passed: usize,
    /// A check did not hold.
    pub failed: usize,
    /// Could not be run.
    pub skipped: usize,
}

impl Totals {
    /// Counts one more.
    pub fn add(&mut self, report: &Report) {
        match report.verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Skipped(_) => self.skipped += 1,
            Verdict::Failed(_) => self.failed += 1,
        }
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::{self, Runtime};
    use crate::suite::Trial;

    fn report(verdict: Verdict) -> Report {
        let case = scenario::all()[0];
        let trial = Trial { case, runtime: Runtime::AsyncStd };
        Report { trial, verdict, time: Duration::from_millis(1234) }
    }

    #[test]
    fn rows_stand_under_the_heading() {
        let skipped = row(&report(Verdict::Skipped("no server".to_owned())));
        assert_eq!(HEADING.find("reason"), skipped.find("no server"));
        assert_eq!(HEADING.find("runtime"), skipped.find("async-std"));
        assert_eq!(HEADING.find("result"), skipped.find("skipped"));
        assert!(skipped.contains(" 1.23 s "), "{skipped}");
        assert!(row(&report(Verdict::Passed)).ends_with("1.23 s"));
        assert!(row(&report(Verdict::Failed("a\nb".to_owned()))).ends_with("a\n    b"));
    }

    #[test]
    fn totals_count_each_kind() {
        let mut totals = Totals::default();
        for verdict in [Verdict::Passed, Verdict::Passed, Verdict::Skipped(String::new())] {
            totals.add(&report(verdict));
        }
        totals.add(&report(Verdict::Failed(String::new())));
        assert_eq!(totals.to_string(), "2 passed, 1 failed, 1 skipped");
    }
}
