//! Lists of a bucket's keys and of buckets, whole (`keys=true`) or as a stream of JSON objects (`keys=stream`).
//!
//! Both are sent while they are read, page by page, and reading stops when the client goes away. A whole list that can't be
//! finished is cut off, so that nobody takes a part of it for all; a stream ends with an object that has the error, as
//! Riak's do.
//!
//! Invariant: a list names each key or bucket once, and a list that ends well is complete.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Uri, header};
use axum::response::Response;
use bytes::Bytes;
use jedlik_door::Held;
use jedlik_door::listing::{Listing, ListingOptions, Page};
use jedlik_protocol::Blob;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_riak::names;
use serde_json::json;

use crate::access::Asked;
use crate::pieces::{Pieces, Source};
use crate::riak::address::Address;
use crate::riak::props;
use crate::riak::query::Query;
use crate::riak::refusal::Refusal;

/// Lists a bucket's keys. In the oldest form of the address, the bucket's properties are shown instead unless the keys are
/// asked for.
pub(crate) async fn keys(shared: Asked, uri: Uri) -> Result<Response, Refusal> {
    let (address, query) = (Address::of(&uri), Query::of(&uri)?);
    let Some(form) = form(&query, "keys")? else {
        if uri.path().starts_with("/riak/") {
            return props::shown(&shared, &address).await;
        }
        return Err(unnamed("keys"));
    };
    let options = options(&query)?;
    let (node, caller) = (Arc::clone(&shared.node), shared.caller());
    let listing = Listing::of_bucket(node, caller, address.bucket()?, None, options).await?;
    List::new(listing, Kind::Keys, form).response().await
}

/// Lists the buckets of a type that hold keys, which reads every record.
pub(crate) async fn buckets(shared: Asked, uri: Uri) -> Result<Response, Refusal> {
    let (address, query) = (Address::of(&uri), Query::of(&uri)?);
    let Some(form) = form(&query, "buckets")? else { return Err(unnamed("buckets")) };
    let options = options(&query)?;
    let (node, caller) = (Arc::clone(&shared.node), shared.caller());
    let listing = Listing::of_every_bucket(node, caller, options).await?;
    let bucket_type = address.bucket_type().map(<[u8]>::to_vec);
    let kind = Kind::Buckets { bucket_type, seen: BTreeSet::new() };
    List::new(listing, kind, form).response().await
}

/// Form in which a list is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// One JSON object with all names.
    Whole,
    /// JSON objects, one after the other, each with some names.
    Stream,
}

/// Names that a list has.
enum Kind {
    Keys,
    Buckets {
        bucket_type: Option<Vec<u8>>,
        /// Buckets that the list already has.
        seen: BTreeSet<Blob>,
    },
}

/// List that is being sent.
struct List {
    listing: Listing,
    kind: Kind,
    form: Form,
    /// Whether a piece of the list has been made.
    begun: bool,
    over: bool,
    /// Room of the page that the last piece was made of.
    held: Held,
}

impl List {
    fn new(listing: Listing, kind: Kind, form: Form) -> Self {
        let held = Held::default();
        Self { listing, kind, form, begun: false, over: false, held }
    }

    /// Returns the answer once its first piece is there; what fails until then is a refusal.
    async fn response(mut self) -> Result<Response, Refusal> {
        let first = self.piece().await?.unwrap_or_default();
        let mut response = Response::new(Body::new(Pieces::new(first, self)));
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        Ok(response)
    }

    /// Makes the next piece; `None` after the last one.
    async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        self.held = Held::default();
        while !self.over {
            let (names, is_last) = match self.listing.next().await {
                Some(page) => {
                    let Page { items, next: _, held } = page?;
                    self.held = held;
                    let items = items.into_iter().map(|item| (item.bucket, item.key));
                    (self.kind.names(items)?, false)
                }
                None => (Vec::new(), true),
            };
            self.over = is_last;
            if let Some(piece) = self.written(&names, is_last) {
                self.begun = true;
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// Writes names as the next piece; `None` if there is nothing to write.
    fn written(&self, names: &[String], is_last: bool) -> Option<Bytes> {
        let field = self.kind.field();
        match self.form {
            Form::Stream if names.is_empty() && (self.begun || !is_last) => None,
            Form::Stream => Some(json!({ field: names }).to_string().into()),
            Form::Whole => {
                let mut text = String::new();
                for (number, name) in names.iter().enumerate() {
                    match (self.begun, number) {
                        (false, 0) => text = format!("{{\"{field}\":["),
                        _ => text.push(','),
                    }
                    text.push_str(&json!(name).to_string());
                }
                if is_last {
                    let empty = if self.begun { String::new() } else { format!("{{\"{field}\":[") };
                    text = format!("{empty}]}}");
                }
                (!text.is_empty()).then(|| text.into())
            }
        }
    }
}

impl Source for List {
    async fn next(mut self) -> Option<(Result<Bytes, axum::Error>, Self)> {
        let piece = match (self.piece().await, self.form) {
            (Ok(piece), _) => Ok(piece?),
            (Err(failure), Form::Stream) => {
                self.over = true;
                Ok(json!({ "error": failure.to_string() }).to_string().into())
            }
            (Err(failure), Form::Whole) => Err(axum::Error::new(failure)),
        };
        Some((piece, self))
    }
}

impl Kind {
    fn field(&self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Buckets { .. } => "buckets",
        }
    }

    /// Returns the names of a page that the list does not have yet.
    fn names(&mut self, items: impl Iterator<Item = (Blob, Blob)>) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        for (bucket, key) in items {
            match self {
                Self::Keys => names.push(as_text(&key)?),
                Self::Buckets { bucket_type, seen } => {
                    let within = names::within(&bucket, bucket_type.as_deref());
                    if let Some(name) = within
                        && !seen.contains(&bucket)
                    {
                        names.push(as_text(name)?);
                        // The page's own bytes are not kept.
                        seen.insert(Blob::from(&bucket[..]));
                    }
                }
            }
        }
        Ok(names)
    }
}

fn as_text(name: &[u8]) -> Result<String, Failure> {
    std::str::from_utf8(name).map(str::to_owned).map_err(|_| {
        let message = format!(
            "the name {:?} is not UTF-8, which JSON needs: list it over Protocol Buffers, or with `jedlik keys`",
            Blob::from(name)
        );
        Failure::new(ErrorCode::Internal, message)
    })
}

fn options(query: &Query) -> Result<ListingOptions, Refusal> {
    Ok(ListingOptions { timeout_ms: query.timeout_ms()?, ..ListingOptions::default() })
}

/// Returns the form of a list; `None` if the list is not asked for.
fn form(query: &Query, name: &str) -> Result<Option<Form>, Refusal> {
    match query.text(name) {
        Some("stream") => Ok(Some(Form::Stream)),
        _ => Ok(query.flag(name, false)?.then_some(Form::Whole)),
    }
}

fn unnamed(name: &str) -> Refusal {
    Refusal::invalid(format!(
        "{name} query parameter must be true or stream: a list reads all of its records, and so has to be asked for"
    ))
}
