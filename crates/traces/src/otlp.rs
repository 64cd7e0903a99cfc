//! Spans as OpenTelemetry's protocol has them on the wire: the messages of `opentelemetry/proto`, version 1, as far as
//! they are sent.
//!
//! Invariant: the numbers of fields are those of the published messages.

use prost::Message;

use crate::span::{Kind, Parent, Span, Value};

/// Bits of a span's flags which say that the next one is known, and that the parent is of another process.
const REMOTE_IS_KNOWN: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
/// Status of a span that has failed.
const STATUS_ERROR: i32 = 2;
/// Name and version of what makes the spans.
const SCOPE: (&str, &str) = ("jedlik", env!("CARGO_PKG_VERSION"));

/// Description of the process that all its spans share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resource {
    /// Attributes with their names.
    pub attributes: Vec<(&'static str, String)>,
}

/// Returns a request to a collector with all of these spans.
pub(crate) fn request(resource: &Resource, spans: Vec<Span>) -> Vec<u8> {
    let attributes = resource.attributes.iter().map(|(name, text)| pair(name, text_value(text)));
    let resource = ResourceMessage { attributes: attributes.collect() };
    let (name, version) = SCOPE;
    let scope = Scope { name: name.into(), version: version.into() };
    let spans = spans.into_iter().map(SpanMessage::from).collect();
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans }];
    let resource_spans = vec![ResourceSpans { resource: Some(resource), scope_spans }];
    ExportRequest { resource_spans }.encode_to_vec()
}

/// Returns how many spans a collector's answer refuses; 0 where it says nothing that is understood.
pub(crate) fn refused(answer: &[u8]) -> u64 {
    let refused = ExportResponse::decode(answer).ok().and_then(|answer| answer.partial_success);
    refused.map_or(0, |refused| u64::try_from(refused.rejected_spans).unwrap_or_default())
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    pub(crate) resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<ResourceMessage>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceMessage {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) spans: Vec<SpanMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SpanMessage {
    #[prost(bytes = "vec", tag = "1")]
    pub(crate) trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    pub(crate) name: String,
    #[prost(int32, tag = "6")]
    pub(crate) kind: i32,
    #[prost(fixed64, tag = "7")]
    pub(crate) start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    pub(crate) end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    pub(crate) attributes: Vec<Pair>,
    #[prost(message, optional, tag = "15")]
    pub(crate) status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    pub(crate) flags: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Pair {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 3, 5")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
    #[prost(message, tag = "5")]
    List(Array),
}

#[derive(Clone, PartialEq, Message)]
struct Array {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportResponse {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
}

fn pair(name: &str, value: AnyValue) -> Pair {
    Pair { key: name.to_owned(), value: Some(value) }
}

fn text_value(text: &str) -> AnyValue {
    AnyValue { value: Some(Any::Text(text.to_owned())) }
}

impl From<Value> for AnyValue {
    fn from(value: Value) -> Self {
        let value = match value {
            Value::Text(text) => Any::Text(text),
            Value::Number(number) => Any::Number(number),
            Value::Texts(texts) => {
                Any::List(Array { values: texts.iter().map(|text| text_value(text)).collect() })
            }
        };
        Self { value: Some(value) }
    }
}

impl From<Span> for SpanMessage {
    fn from(span: Span) -> Self {
        let Span { context, parent, kind, name, began_ns, ended_ns, attributes, failed } = span;
        let is_remote = parent.is_some_and(|parent| parent.remote);
        let remote = REMOTE_IS_KNOWN | if is_remote { IS_REMOTE } else { 0 };
        let parent_id = |parent: Parent| parent.span.get().to_be_bytes().to_vec();
        Self {
            trace_id: context.trace.get().to_be_bytes().to_vec(),
            span_id: context.span.get().to_be_bytes().to_vec(),
            parent_span_id: parent.map(parent_id).unwrap_or_default(),
            name,
            kind: match kind {
                Kind::Internal => 1,
                Kind::Server => 2,
                Kind::Client => 3,
            },
            start_time_unix_nano: began_ns,
            end_time_unix_nano: ended_ns,
            attributes: attributes
                .into_iter()
                .map(|(name, value)| pair(name, value.into()))
                .collect(),
            status: failed.then_some(Status { code: STATUS_ERROR }),
            flags: u32::from(context.flags) | remote,
        }
    }
}
