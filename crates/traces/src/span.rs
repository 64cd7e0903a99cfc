//! Spans: what was done for a traced request, from when to when, and how it ended.
//!
//! Invariant: each span that was begun is queued once, when it ends; one that is dropped ends as unanswered.

use std::num::NonZeroU64;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use jedlik_protocol::TraceContext;

use crate::tracer::Tracer;

/// Longest text of an attribute or a name, in bytes.
const TEXT_BYTES: usize = 256;
/// Most items of a list.
const ITEMS_MAX: usize = 32;
/// Reason with which a span ends that nobody has ended.
const UNANSWERED: &str = "unanswered";

/// Side of an exchange that a span is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Work within the process.
    Internal,
    /// Request that the process serves.
    Server,
    /// Request of the process to another one.
    Client,
}

/// Value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Texts(Vec<String>),
}

/// Span as it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) context: TraceContext,
    pub(crate) parent: Option<Parent>,
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) began_ns: u64,
    pub(crate) ended_ns: u64,
    pub(crate) attributes: Vec<(&'static str, Value)>,
    /// Whether what the span is of has failed.
    pub(crate) failed: bool,
}

/// Span that another one was begun under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent {
    pub(crate) span: NonZeroU64,
    /// Whether another process has begun it.
    pub(crate) remote: bool,
}

/// Span that has begun and not ended. It takes the room of a pointer, since every request has a place for one.
#[derive(Debug)]
pub struct OpenSpan(Box<Open>);

#[derive(Debug)]
struct Open {
    /// Span as far as it is known; `None` once it is queued.
    span: Option<Box<Span>>,
    context: TraceContext,
    began: Instant,
    tracer: Tracer,
}

impl OpenSpan {
    pub(crate) fn begin(
        tracer: Tracer,
        context: TraceContext,
        parent: Option<Parent>,
        kind: Kind,
    ) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let began_ns = since_epoch.as_nanos() as u64;
        let (name, attributes) = (String::new(), Vec::new());
        let (ended_ns, failed) = (began_ns, false);
        let span = Span { context, parent, kind, name, began_ns, ended_ns, attributes, failed };
        let span = Some(Box::new(span));
        Self(Box::new(Open { span, context, began: Instant::now(), tracer }))
    }

    /// Returns the context for what is done under this span.
    #[must_use]
    pub fn context(&self) -> TraceContext {
        self.0.context
    }

    /// Names the span by what is done, and of which there are few.
    pub fn name(&mut self, name: &str) {
        if let Some(span) = &mut self.0.span {
            span.name = shortened(name);
        }
    }

    /// Adds an attribute with a text.
    pub fn text(&mut self, name: &'static str, text: &str) {
        self.add(name, Value::Text(shortened(text)));
    }

    /// Adds an attribute with a number.
    pub fn number(&mut self, name: &'static str, number: u64) {
        self.add(name, Value::Number(i64::try_from(number).unwrap_or(i64::MAX)));
    }

    /// Adds an attribute with a list of texts, unless that is empty.
    pub fn texts(&mut self, name: &'static str, texts: impl Iterator<Item = String>) {
        let texts: Vec<String> = texts.take(ITEMS_MAX).map(|text| shortened(&text)).collect();
        if !texts.is_empty() {
            self.add(name, Value::Texts(texts));
        }
    }

    /// Marks the span as failed, for a reason of which there are few.
    pub fn fail(&mut self, reason: &str) {
        self.text("error.type", reason);
        if let Some(span) = &mut self.0.span {
            span.failed = true;
        }
    }

    /// Ends the span now.
    pub fn end(mut self) {
        self.finish();
    }

    fn add(&mut self, name: &'static str, value: Value) {
        if let Some(span) = &mut self.0.span {
            span.attributes.push((name, value));
        }
    }

    fn finish(&mut self) {
        if let Some(mut span) = self.0.span.take() {
            span.ended_ns = span.began_ns + self.0.began.elapsed().as_nanos() as u64;
            self.0.tracer.queue(span);
        }
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if self.0.span.is_some() {
            self.fail(UNANSWERED);
            self.finish();
        }
    }
}

/// Returns the text, or as much of its beginning as an attribute takes.
fn shortened(text: &str) -> String {
    let end = (0..=TEXT_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or_default()].to_owned()
}

#[cfg(test)]
mod tests {
    use super::{OpenSpan, TEXT_BYTES, shortened};

    #[test]
    fn a_request_without_a_span_has_room_for_a_pointer_alone() {
        assert_eq!(size_of::<Option<OpenSpan>>(), size_of::<usize>());
    }

    #[test]
    fn texts_are_cut_between_letters() {
        assert_eq!(shortened("carts"), "carts");
        let long = "é".repeat(TEXT_BYTES);
        assert_eq!(shortened(&long).len(), TEXT_BYTES);
        let odd = format!("a{long}");
        assert_eq!(shortened(&odd).len(), TEXT_BYTES - 1);
    }
}
