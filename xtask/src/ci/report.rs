//! The results of the checks: printed as they end, and once more at the end of all.
//!
//! Invariant: the last fifty lines suffice to know what failed.

use std::time::Instant;

use anyhow::bail;

use crate::test::Tally;

/// Limit on the notes of one check that are repeated, in lines.
const NOTES: usize = 12;
const LETTERS: usize = 300;
/// Number of the slowest tests that are named.
const SLOWEST: usize = 10;

/// Results of the checks so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    steps: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    seconds: u64,
    /// Error of the check and its notes; `None` if it passed.
    failure: Option<(String, Vec<String>)>,
}

impl Report {
    /// Runs one check, and prints and records its result.
    pub(super) fn judge(
        &mut self,
        name: &'static str,
        check: impl FnOnce(&mut Vec<String>) -> anyhow::Result<()>,
    ) {
        println!("==> {name}");
        let (begun, mut notes) = (Instant::now(), Vec::new());
        let result = check(&mut notes);
        let seconds = begun.elapsed().as_secs();
        let failure = result.err().map(|error| (format!("{error:#}"), notes));
        match &failure {
            None => println!("==> {name}: ok ({seconds} s)"),
            Some((why, _)) => println!("==> {name}: FAILED ({seconds} s): {why}"),
        }
        self.steps.push(Step { name, seconds, failure });
    }

    /// Prints the summary of all checks.
    ///
    /// # Errors
    /// One or more checks failed.
    pub(super) fn end(&self, tally: &Tally) -> anyhow::Result<()> {
        for line in self.lines(tally) {
            println!("{line}");
        }
        let failed = self.steps.iter().filter(|step| step.failure.is_some()).count();
        if failed > 0 {
            bail!("{failed} of {} checks failed", self.steps.len());
        }
        Ok(())
    }

    fn lines(&self, tally: &Tally) -> Vec<String> {
        let mut lines = vec!["==> seconds".into()];
        for Step { name, seconds, failure } in &self.steps {
            let failed = if failure.is_some() { "  FAILED" } else { "" };
            lines.push(format!("{seconds:>6}  {name}{failed}"));
        }
        let total: u64 = self.steps.iter().map(|step| step.seconds).sum();
        lines.push(format!("{total:>6}  all"));
        let slowest = tally.slowest(SLOWEST);
        if !slowest.is_empty() {
            lines.push("==> the slowest tests' seconds".into());
            lines.extend(slowest.iter().map(|(seconds, name)| format!("{seconds:>6.0}  {name}")));
        }
        let mut names = Vec::new();
        for step in &self.steps {
            let Some((why, notes)) = &step.failure else { continue };
            names.push(step.name);
            lines.push(format!("==> {} FAILED: {}", step.name, short(why)));
            lines.extend(notes.iter().take(NOTES).map(|note| format!("    {}", short(note))));
            if notes.len() > NOTES {
                lines.push(format!("    and {} lines more, above", notes.len() - NOTES));
            }
        }
        lines.push(match names[..] {
            [] => "ci: ok".into(),
            _ => format!("ci: FAILED: {}", names.join(", ")),
        });
        lines.push(tally.to_string());
        lines
    }
}

fn short(text: &str) -> String {
    text.chars().take(LETTERS).collect()
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::{NOTES, Report};
    use crate::test::Tally;

    #[test]
    fn what_failed_is_said_at_the_end_with_its_notes() {
        let mut report = Report::default();
        report.judge("format", |_| Ok(()));
        report.judge("simulation", |notes| {
            notes.push("seed 7 fails: lost".into());
            notes.extend((0..NOTES).map(|number| format!("line {number}")));
            bail!("`jedlik-sim` failed")
        });
        report.judge("chaos", |_| Ok(()));
        let lines = report.lines(&Tally::default());
        let from = lines.iter().position(|line| line.contains("simulation FAILED")).unwrap();
        assert_eq!(lines[from], "==> simulation FAILED: `jedlik-sim` failed");
        assert_eq!(lines[from + 1], "    seed 7 fails: lost");
        assert_eq!(lines[lines.len() - 3], "    and 1 lines more, above");
        assert_eq!(lines[lines.len() - 2], "ci: FAILED: simulation");
        assert_eq!(report.end(&Tally::default()).unwrap_err().to_string(), "1 of 3 checks failed");
    }

    #[test]
    fn what_holds_says_so() {
        let mut report = Report::default();
        report.judge("format", |notes| {
            notes.push("nothing of interest".into());
            Ok(())
        });
        let lines = report.lines(&Tally::default());
        assert_eq!(lines[lines.len() - 2..], ["ci: ok", "0 passed, 0 failed"]);
        assert!(lines.iter().all(|line| !line.contains("interest")), "{lines:?}");
        report.end(&Tally::default()).unwrap();
    }
}
