//! Weight of a message while it waits or is under way: every byte of variable length that somebody sent.
//!
//! Invariant: whatever a sender can make long is counted, so a queue's limit in bytes bounds its memory.

use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{
    ClientRequest, ClientResponse, GetAnswer, ScanAnswer, ScanMark, ScanOf, Version,
};
use jedlik_protocol::gossip::StagedChange;
use jedlik_protocol::inspection::RecordSummary;
use jedlik_protocol::peer::{DigestPage, Page, PeerRequest, PeerResponse, ScannedPage};
use jedlik_protocol::{Blob, EncodedRecord, Key, Value};
use jedlik_vclock::{Content, VectorClock};

use crate::inbox::Mail;

/// Bytes that one entry of a list takes beyond those that are counted.
const ENTRY_BYTES: usize = 32;

/// Returns the weight of one mail, in bytes. Completions, views and orders come from the node itself and weigh nothing.
pub(crate) fn of_mail(mail: &Mail) -> usize {
    match mail {
        Mail::Client { request, .. } => of_client_request(request),
        Mail::Peer { request, .. } => of_peer_request(request),
        Mail::PeerAnswer { response, .. } => of_peer_response(response),
        Mail::Recalled(recalled) => {
            let records = &recalled.records;
            records.iter().map(|(key, record)| of_key(&key.key) + record.bytes().len()).sum()
        }
        Mail::View(_)
        | Mail::CopyAtHand
        | Mail::PeerLost { .. }
        | Mail::Withdrawn { .. }
        | Mail::Completed(_)
        | Mail::Report(_)
        | Mail::Repair(_)
        | Mail::Believe
        | Mail::SetBackground(_)
        | Mail::Close => 0,
    }
}

pub(crate) fn of_client_request(request: &ClientRequest) -> usize {
    match request {
        ClientRequest::Get(get) => of_key(&get.key),
        ClientRequest::Put(put) => {
            of_key(&put.key) + of_content(&put.content) + put.context.as_ref().map_or(0, of_blob)
        }
        ClientRequest::Scan(scan) => {
            let bucket = match &scan.of {
                ScanOf::Bucket(bucket) => of_blob(bucket),
                ScanOf::EveryBucket(_) => 0,
            };
            bucket + of_mark(scan.after.as_ref())
        }
        ClientRequest::Admin(request) => of_admin_request(request),
        ClientRequest::Topology => 0,
    }
}

fn of_admin_request(request: &AdminRequest) -> usize {
    match request {
        AdminRequest::Explain { key } => of_key(key),
        AdminRequest::Stage { changes, .. } => {
            changes.iter().map(|(_, change)| ENTRY_BYTES + of_change(change)).sum()
        }
        AdminRequest::Unstage { nodes } => nodes.len() * ENTRY_BYTES,
        AdminRequest::BucketShow { name } => of_blob(name),
        AdminRequest::AccessSet(entry) => {
            let grants = entry.grants.iter().map(|grant| of_blob(&grant.prefix) + ENTRY_BYTES);
            entry.subject.name().len() + grants.sum::<usize>()
        }
        AdminRequest::AccessRevoke(subject) => subject.name().len(),
        AdminRequest::BucketSet { name, changes } => {
            let changes = changes.iter().map(|(name, value)| name.len() + value.len());
            of_blob(name) + changes.map(|bytes| bytes + ENTRY_BYTES).sum::<usize>()
        }
        _ => 0,
    }
}

fn of_change(change: &StagedChange) -> usize {
    match change {
        StagedChange::Join { zone, .. } | StagedChange::Replace { zone, .. } => zone.len(),
        StagedChange::Set { zone, .. } => zone.as_ref().map_or(0, String::len),
        StagedChange::Leave | StagedChange::Remove => 0,
    }
}

pub(crate) fn of_peer_request(request: &PeerRequest) -> usize {
    match request {
        PeerRequest::Write { key, record, .. }
        | PeerRequest::Hint { key, record, .. }
        | PeerRequest::Deliver { key, record } => of_key(key) + of_record(record),
        PeerRequest::Revise { key, record, .. } => {
            of_key(key) + record.as_ref().map_or(0, of_record)
        }
        PeerRequest::Read { key, .. }
        | PeerRequest::Compare { key, .. }
        | PeerRequest::Inspect { key } => of_key(key),
        PeerRequest::Scan { bucket, after, .. } => {
            bucket.as_ref().map_or(0, of_blob) + of_mark(after.as_ref())
        }
        PeerRequest::Digests { after, .. } | PeerRequest::Fetch { after, .. } => {
            of_mark(after.as_ref())
        }
        PeerRequest::Forward(request) => of_client_request(request),
        PeerRequest::Hashes { .. } | PeerRequest::Vote { .. } => 0,
    }
}

pub(crate) fn of_peer_response(response: &PeerResponse) -> usize {
    match response {
        PeerResponse::Read(record) | PeerResponse::Unknown { record, .. } => {
            record.as_ref().map_or(0, of_record)
        }
        PeerResponse::Page(page) => of_page(page),
        PeerResponse::Scanned(ScannedPage { page, damaged, .. }) => {
            of_page(page) + damaged.iter().map(of_key).sum::<usize>()
        }
        PeerResponse::Digests(DigestPage { digests, until }) => {
            let clock = |clock: &Option<VectorClock>| clock.as_ref().map_or(0, VectorClock::len);
            let digests = digests
                .iter()
                .map(|(key, entry)| of_key(key) + ENTRY_BYTES + clock(&entry.clock) * ENTRY_BYTES);
            digests.sum::<usize>() + of_mark(until.as_ref())
        }
        PeerResponse::Hashes(hashes) => hashes.len() * size_of::<u64>(),
        PeerResponse::Inspected(inspection) => {
            let hints = inspection.hints.iter().map(|hint| &hint.record);
            inspection.record.iter().chain(hints).map(of_summary).sum()
        }
        PeerResponse::Forwarded(response) => of_client_response(response),
        PeerResponse::Refused(failure) => failure.message.len(),
        PeerResponse::Written
        | PeerResponse::Same
        | PeerResponse::Vote { .. }
        | PeerResponse::Delivered { .. }
        | PeerResponse::Compared(_)
        | PeerResponse::Revised(_) => 0,
    }
}

fn of_page(Page { records, until }: &Page) -> usize {
    let records = records.iter().map(|(key, record)| of_key(key) + of_record(record));
    records.sum::<usize>() + of_mark(until.as_ref())
}

pub(crate) fn of_client_response(response: &ClientResponse) -> usize {
    match response {
        ClientResponse::Got(GetAnswer { versions, context, .. }) => {
            of_versions(versions) + context.as_ref().map_or(0, of_blob)
        }
        ClientResponse::Put(answer) => answer.context.len() + answer.by.len() * ENTRY_BYTES,
        ClientResponse::Scanned(ScanAnswer { items, next }) => {
            let items = items.iter().map(|item| {
                item.bucket.len() + item.key.len() + ENTRY_BYTES + of_versions(&item.versions)
            });
            items.sum::<usize>() + of_mark(next.as_ref())
        }
        ClientResponse::Failed(failure) => failure.message.len(),
        // Requests that these answer are never forwarded.
        ClientResponse::Topology(_) | ClientResponse::Admin(_) => 0,
    }
}

fn of_versions(versions: &[Version]) -> usize {
    versions.iter().map(|version| ENTRY_BYTES + of_content(&version.content)).sum()
}

fn of_summary(summary: &RecordSummary) -> usize {
    (summary.clock.len() + summary.siblings.len()) * ENTRY_BYTES
}

fn of_content(content: &Content<Value>) -> usize {
    match content {
        Content::Value(value) => value.size(),
        Content::Tombstone => 0,
    }
}

fn of_record(record: &EncodedRecord) -> usize {
    record.bytes().len()
}

fn of_mark(mark: Option<&ScanMark>) -> usize {
    mark.map_or(0, |mark| of_key(&mark.key))
}

fn of_key(key: &Key) -> usize {
    key.bucket().len() + key.key().len()
}

fn of_blob(blob: &Blob) -> usize {
    blob.len()
}

#[cfg(test)]
mod tests {
    use jedlik_protocol::client::{ClientRequest, GetRequest, PutRequest};
    use jedlik_protocol::peer::{PeerRequest, PeerResponse};
    use jedlik_protocol::{Blob, Durability, EncodedRecord, Key, Quorum, Record};
    use jedlik_vclock::{Content, WriteId};

    use super::{of_client_request, of_peer_request, of_peer_response};

    fn key() -> Key {
        Key::new("bucket", vec![7; 100]).unwrap()
    }

    fn put(context: usize, value: usize) -> ClientRequest {
        ClientRequest::Put(PutRequest {
            key: key(),
            content: Content::Value(vec![0; value].into()),
            context: Some(Blob::from(vec![0; context])),
            write_id: WriteId(1),
            ttl_ms: None,
            n: None,
            w: Quorum::Default,
            pw: Quorum::Default,
            dw: Quorum::Default,
            timeout_ms: 1_000,
        })
    }

    fn get() -> ClientRequest {
        let (r, pr) = (Quorum::Default, Quorum::Default);
        ClientRequest::Get(GetRequest { key: key(), n: None, r, pr, timeout_ms: 1 })
    }

    #[test]
    fn whatever_a_client_can_make_long_counts() {
        for (request, bytes) in [(get(), 106), (put(3_000, 500), 3_606), (put(0, 0), 106)] {
            assert_eq!(of_client_request(&request), bytes);
            let forwarded = PeerRequest::Forward(request);
            assert_eq!(of_peer_request(&forwarded), bytes, "forwarded");
        }
    }

    #[test]
    fn a_write_weighs_its_key_and_record_and_an_answer_what_it_brings() {
        let record = EncodedRecord::encode(&Record::new());
        let bytes = record.bytes().len();
        let (key, durability) = (key(), Durability::Synced);
        let write = PeerRequest::Write { key, record: record.clone(), durability };
        assert_eq!(of_peer_request(&write), 106 + bytes);
        assert_eq!(of_peer_response(&PeerResponse::Read(Some(record))), bytes);
        assert_eq!(of_peer_response(&PeerResponse::Written), 0);
    }
}
