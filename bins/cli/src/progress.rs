//! Progress on standard error, if that is a terminal.

use std::io::{IsTerminal as _, stderr};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Returns a bar for `length` units, or a counter if the end is unknown; hidden unless standard error is a terminal.
pub(crate) fn bar(length: Option<u64>, unit: &str) -> ProgressBar {
    let target = if stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(length, target);
    let template = match length {
        Some(_) => format!("{{bar:40}} {{percent}}%  {{msg}} {unit}  {{elapsed}}"),
        None => format!("{{spinner}} {{msg}} {unit}  {{elapsed}}"),
    };
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar
}
