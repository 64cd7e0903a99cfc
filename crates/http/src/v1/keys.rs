//! Keys of a bucket, as lines of JSON that come while they are found.
//!
//! Each line is an object. `key` is a key, with its `versions` if values were asked for; `mark` is a place from which
//! another request goes on (`after`); `end` is the last line of a listing that is whole, with the number of its keys;
//! `error` is the last line of one that failed. A listing of which nothing could be read is an error instead.

use axum::body::Body;
use axum::http::{HeaderValue, Uri, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jedlik_door::Held;
use jedlik_door::listing::{Listing, ListingOptions, Mark, Page};
use jedlik_hashing::Position;
use jedlik_protocol::client::{ScanItem, ScanMark};
use jedlik_protocol::error::Failure;
use jedlik_protocol::limits::SCAN_PAGE_RECORDS;
use jedlik_protocol::{Blob, Key, Quorum};
use serde::{Deserialize, Serialize};

use crate::access::Asked;
use crate::path::segment;
use crate::pieces::{Pieces, Source};
use crate::problem::{Problem, Shown};
use crate::v1::document::Sibling;
use crate::v1::key::BUCKET;
use crate::v1::name::Name;
use crate::v1::options::{flag, number, query, quorum, timeout, within};

/// Media type of the lines.
const MEDIA_TYPE: &str = "application/x-ndjson";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Options {
    after: Option<String>,
    #[serde(deserialize_with = "flag")]
    values: bool,
    #[serde(deserialize_with = "quorum")]
    r: Quorum,
    #[serde(deserialize_with = "number")]
    page_keys: Option<u32>,
    #[serde(deserialize_with = "number")]
    timeout_ms: Option<u32>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Key {
        key: Name,
        #[serde(skip_serializing_if = "Option::is_none")]
        versions: Option<Vec<Sibling>>,
    },
    Mark {
        mark: String,
    },
    End {
        end: End,
    },
    Error {
        error: Shown<'a>,
    },
}

#[derive(Serialize)]
struct End {
    keys: u64,
}

/// Lists the keys of a bucket.
pub(crate) async fn list(shared: Asked, uri: Uri) -> Result<Response, Problem> {
    let options = query::<Options>(&uri)?;
    let bucket: Blob = segment(uri.path(), BUCKET).unwrap_or_default().into_owned().into();
    jedlik_protocol::bucket::check_name(&bucket)
        .map_err(|error| Problem::invalid(error.to_string()))?;
    let mark = options.after.as_deref().map(|text| mark(&bucket, text)).transpose()?;
    let listing = ListingOptions {
        values: options.values,
        r: options.r,
        timeout_ms: timeout(options.timeout_ms)?,
        page_keys: within("page_keys", options.page_keys, 1..=SCAN_PAGE_RECORDS)?
            .unwrap_or(SCAN_PAGE_RECORDS),
    };
    let (node, caller) = (shared.node.clone(), shared.caller());
    let listing = Listing::of_bucket(node, caller, bucket, mark, listing).await?;
    let (values, held) = (options.values, Held::default());
    let mut lines = Lines { listing, values, keys: 0, over: false, held };
    // What fails until then has a status of its own.
    let first = lines.next_lines().await?.unwrap_or_default();
    let mut response = Response::new(Body::new(Pieces::new(first, lines)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    Ok(response)
}

/// Listing that is being sent.
struct Lines {
    listing: Listing,
    values: bool,
    /// Number of keys so far.
    keys: u64,
    over: bool,
    /// Room of the page that the last lines were made of.
    held: Held,
}

impl Lines {
    /// Makes the lines of the next page that has any, or of the end; `None` after that.
    async fn next_lines(&mut self) -> Result<Option<Bytes>, Failure> {
        self.held = Held::default();
        let mut text = Vec::new();
        while text.is_empty() && !self.over {
            let Some(page) = self.listing.next().await else {
                self.over = true;
                text = line(&Line::End { end: End { keys: self.keys } });
                break;
            };
            let Page { items, next, held } = page?;
            self.held = held;
            self.keys += items.len() as u64;
            for item in &items {
                text.extend(line(&key_line(item, self.values)));
            }
            if let Some(next) = next.filter(|_| !text.is_empty()) {
                text.extend(line(&Line::Mark { mark: mark_text(&next) }));
            }
        }
        Ok((!text.is_empty()).then(|| text.into()))
    }
}

impl Source for Lines {
    async fn next(mut self) -> Option<(Result<Bytes, axum::Error>, Self)> {
        let lines = match self.next_lines().await {
            Ok(lines) => lines?,
            Err(failure) => {
                self.over = true;
                line(&Line::Error { error: Problem::from(failure).shown() }).into()
            }
        };
        Some((Ok(lines), self))
    }
}

fn key_line(item: &ScanItem, values: bool) -> Line<'static> {
    let versions = values.then(|| item.versions.iter().map(Sibling::from).collect());
    Line::Key { key: Name::from(&item.key), versions }
}

fn line(line: &Line<'_>) -> Vec<u8> {
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text
}

/// Returns a place as text: the partition, and the key past which it goes on.
fn mark_text(Mark { partition, after }: &Mark) -> String {
    match after {
        Some(after) => format!("{partition}.{}", URL_SAFE_NO_PAD.encode(after.key.key())),
        None => partition.to_string(),
    }
}

/// Reads a place from text. The position of its key is the node's to compute.
fn mark(bucket: &Blob, text: &str) -> Result<Mark, Problem> {
    let unknown =
        || Problem::invalid(format!("after={text:?} is no mark that a listing has given"));
    let (partition, key) = match text.split_once('.') {
        Some((partition, key)) => (partition, Some(key)),
        None => (text, None),
    };
    let partition = partition.parse().map_err(|_| unknown())?;
    let after = |key: &str| -> Result<ScanMark, Problem> {
        let key = URL_SAFE_NO_PAD.decode(key).map_err(|_| unknown())?;
        let key = Key::new(bucket.clone(), key).map_err(|_| unknown())?;
        Ok(ScanMark { position: Position(0), key })
    };
    Ok(Mark { partition, after: key.map(after).transpose()? })
}

#[cfg(test)]
mod tests {
    use jedlik_door::listing::Mark;
    use jedlik_hashing::Position;
    use jedlik_protocol::client::ScanMark;
    use jedlik_protocol::{Blob, Key};

    use super::{mark, mark_text};

    #[test]
    fn a_mark_names_its_partition_and_its_key() {
        let bucket = Blob::from("carts");
        for key in [None, Some(&b"alice"[..]), Some(&[255, 0, b'.'])] {
            let after = key.map(|key| ScanMark {
                position: Position(0),
                key: Key::new(bucket.clone(), key).unwrap(),
            });
            let place = Mark { partition: 17, after };
            assert_eq!(mark(&bucket, &mark_text(&place)).unwrap(), place);
        }
    }

    #[test]
    fn nonsense_is_no_mark() {
        for text in ["", "x", "-1", "3.", "3.%", "99999999999"] {
            assert!(mark(&Blob::from("carts"), text).is_err(), "{text:?}");
        }
    }
}
