//! Codes of messages, and what the requests are that Jedlik doesn't have.
//!
//! Invariant: every code of a request is carried out or has a name by which it is refused.

use jedlik_door::Kind;

pub(crate) const ERROR: u8 = 0;
pub(crate) const PING: u8 = 1;
pub(crate) const PONG: u8 = 2;
pub(crate) const GET_CLIENT_ID: u8 = 3;
pub(crate) const GOT_CLIENT_ID: u8 = 4;
pub(crate) const SET_CLIENT_ID: u8 = 5;
pub(crate) const CLIENT_ID_SET: u8 = 6;
pub(crate) const GET_SERVER_INFO: u8 = 7;
pub(crate) const SERVER_INFO: u8 = 8;
pub(crate) const GET: u8 = 9;
pub(crate) const GOT: u8 = 10;
pub(crate) const PUT: u8 = 11;
pub(crate) const STORED: u8 = 12;
pub(crate) const DELETE: u8 = 13;
pub(crate) const DELETED: u8 = 14;
pub(crate) const LIST_BUCKETS: u8 = 15;
pub(crate) const BUCKETS: u8 = 16;
pub(crate) const LIST_KEYS: u8 = 17;
pub(crate) const KEYS: u8 = 18;
pub(crate) const GET_BUCKET: u8 = 19;
pub(crate) const GOT_BUCKET: u8 = 20;
pub(crate) const SET_BUCKET: u8 = 21;
pub(crate) const BUCKET_SET: u8 = 22;
pub(crate) const RESET_BUCKET: u8 = 29;
pub(crate) const BUCKET_RESET: u8 = 30;
pub(crate) const GET_BUCKET_TYPE: u8 = 31;
pub(crate) const SET_BUCKET_TYPE: u8 = 32;
pub(crate) const GET_PREFERENCE_LIST: u8 = 33;
pub(crate) const PREFERENCE_LIST: u8 = 34;
pub(crate) const AUTHENTICATE: u8 = 253;
pub(crate) const AUTHENTICATED: u8 = 254;
pub(crate) const START_TLS: u8 = 255;

/// Whether a message with this code is carried out.
pub(crate) fn is_known(code: u8) -> bool {
    matches!(
        code,
        PING | GET_CLIENT_ID
            | SET_CLIENT_ID
            | GET_SERVER_INFO
            | GET
            | PUT
            | DELETE
            | LIST_BUCKETS
            | LIST_KEYS
            | GET_BUCKET
            | SET_BUCKET
            | RESET_BUCKET
            | GET_BUCKET_TYPE
            | SET_BUCKET_TYPE
            | GET_PREFERENCE_LIST
            | AUTHENTICATE
            | START_TLS
    )
}

/// Returns the kind of a request, as it is counted.
pub(crate) fn kind(code: u8) -> Kind {
    match code {
        GET => Kind::Get,
        PUT => Kind::Put,
        DELETE => Kind::Delete,
        LIST_BUCKETS | LIST_KEYS => Kind::List,
        _ => Kind::Other,
    }
}

/// Returns what a request asks for that Jedlik doesn't have; `None` if the code is of no request.
pub(crate) fn missing(code: u8) -> Option<&'static str> {
    Some(match code {
        23 => "map/reduce",
        25 => "queries of secondary indexes",
        27 => "search",
        40 => "folds over a bucket for Riak CS",
        50 | 52 => "counters",
        54 | 56 | 57 | 58 | 60 => "search indexes and schemas",
        70 => "coverage plans",
        80 | 82 => "data types (counters, sets, maps, HyperLogLogs)",
        90 | 92 | 94 | 96 | 98 | 100 | 104 => "time series",
        128 | 129 | 200 | 202 | 204 | 206 => "replication to other clusters",
        210..=219 | 223 | 230 | 231 => "folds over hash trees",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{PING, PONG, is_known, missing};

    #[test]
    fn what_is_not_there_has_a_name() {
        for (code, named) in [
            (23, "map/reduce"),
            (25, "indexes"),
            (27, "search"),
            (82, "data types"),
            (90, "series"),
        ] {
            assert!(missing(code).unwrap().contains(named), "{code}");
        }
        assert!(is_known(PING) && !is_known(PONG) && missing(PONG).is_none());
        let both = (0..=u8::MAX).find(|code| is_known(*code) && missing(*code).is_some());
        assert_eq!(both, None);
    }
}
