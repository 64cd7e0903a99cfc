//! Findings as people and programs read them.
//!
//! Invariant: the most severe finding comes first, and the fields of a finding have the same names wherever they are read.

use alloc::format;
use alloc::string::String;
use core::fmt::Write as _;

use jedlik_amounts::count;

use crate::diagnosis::{Finding, Severity};

impl Finding {
    /// Returns the fields of the finding under their names; `None` for work that is not held up.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("severity", Some(self.severity.name())),
            ("what", Some(&self.what)),
            ("holds_up", self.blocks.as_deref()),
            ("to_do", Some(&self.remedy)),
        ]
    }
}

/// Whether something is wrong, notes aside.
#[must_use]
pub fn is_wrong(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity != Severity::Note)
}

/// Formats findings of so many members for people.
#[must_use]
pub fn to_text(findings: &[Finding], members: usize) -> String {
    let number =
        |severity| findings.iter().filter(|finding| finding.severity == severity).count() as u64;
    let mut text = String::new();
    for finding in findings {
        let severity = finding.severity.name();
        writeln!(text, "{severity}: {}", finding.what).expect("writing into memory can't fail");
        if let Some(blocks) = &finding.blocks {
            writeln!(text, "  holds up: {blocks}").expect("writing into memory can't fail");
        }
        writeln!(text, "  to do: {}\n", finding.remedy).expect("writing into memory can't fail");
    }
    let (errors, warnings) = (number(Severity::Error), number(Severity::Warning));
    let asked = count(members as u64, "member");
    text + &match errors + warnings {
        0 => format!("Nothing is wrong with the {asked}.\n"),
        _ => format!("{} and {} on {asked}.\n", count(errors, "error"), count(warnings, "warning")),
    }
}
