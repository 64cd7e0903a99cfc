//! Settings of traces: where spans go, and of how many requests.

use jedlik_traces::Settings;

use super::Place;
use super::check::{Check, text};
use super::error::Mistake;
use super::source::Setting;

/// Path that every collector has for traces, below its endpoint.
const TRACES: &str = "/v1/traces";

impl Check {
    /// Returns the settings of traces, or that there are none; `None` only together with a mistake.
    pub(super) fn otlp(&mut self) -> Option<Option<Settings>> {
        let sample = self.required("otlp.sample", |_, setting| share(setting));
        let limit = self.number("otlp.limit_per_s", 1..=100_000);
        if !self.settings.by_name.contains_key("otlp.endpoint") {
            sample.zip(limit)?;
            return Some(None);
        }
        let (place, path) = self.required("otlp.endpoint", |_, setting| endpoint(setting))?;
        if !place.is_of_this_machine() {
            let Setting { source, values } = self.settings.by_name["otlp.endpoint"].clone();
            let why = "spans are sent unencrypted, so the collector has to be on this machine, at 127.0.0.1, ::1 or \
                       localhost; it passes them on"
                .into();
            let mistake = Mistake::unusable("otlp.endpoint", &values.join(", "), &source, why);
            self.settings.mistakes.push(mistake);
            return None;
        }
        let (collector, sample, limit_per_s) = (place.to_string(), sample?, limit? as u32);
        Some(Some(Settings { collector, path, sample, limit_per_s }))
    }
}

fn share(setting: &Setting) -> Option<f64> {
    text(setting)?.parse().ok().filter(|share| (0.0..=1.0).contains(share))
}

/// Returns the place of a collector, and the path of its traces.
fn endpoint(setting: &Setting) -> Option<(Place, String)> {
    let rest = text(setting)?.strip_prefix("http://")?;
    let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
    if !path.chars().all(is_plain) {
        return None;
    }
    let path = if path.is_empty() { String::new() } else { format!("/{path}") };
    Some((place.parse().ok()?, path + TRACES))
}
