//! Parameters in the query of an address.
//!
//! Invariant: a parameter with a value that it can't take is an error that names it. One that Riak doesn't know is
//! ignored, as there.

use axum::http::Uri;
use jedlik_door::requests::{ReadOptions, TIMEOUT_MS};
use jedlik_protocol::Quorum;
use jedlik_protocol::limits::TIMEOUT_MAX_MS;
use jedlik_riak::quorums::WriteQuorums;

use crate::riak::refusal::Refusal;

/// Parameters of a request, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

/// Options of a get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) options: ReadOptions,
    /// Whether a replica's answer that it has nothing counts as an answer.
    pub(crate) notfound_ok: bool,
    /// Whether a majority of such answers makes a key absent, where they don't count.
    pub(crate) basic_quorum: bool,
}

/// Options of a put or a delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Writes {
    pub(crate) quorums: WriteQuorums,
    pub(crate) pw: Quorum,
    pub(crate) timeout_ms: u32,
}

impl Query {
    /// Reads the query of an address.
    ///
    /// # Errors
    /// The query is not a list of names and values.
    pub(crate) fn of(uri: &Uri) -> Result<Self, Refusal> {
        let pairs = serde_urlencoded::from_str(uri.query().unwrap_or_default());
        pairs
            .map(Self)
            .map_err(|error| Refusal::invalid(format!("the query can't be used: {error}")))
    }

    /// Returns the first value of a parameter.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Returns whether a parameter is true; `default` where it is not given.
    ///
    /// # Errors
    /// The value is neither true nor false.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, Refusal> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("default") => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => {
                Err(Refusal::invalid(format!("{name} query parameter must be true or false")))
            }
        }
    }

    /// Returns the options of a get. A delete, which gets first, may name R as `rw`.
    ///
    /// # Errors
    /// One of them can't take its value.
    pub(crate) fn reads(&self, is_delete: bool) -> Result<Reads, Refusal> {
        let options = ReadOptions {
            n: None,
            r: self.quorum_or_rw("r", is_delete)?,
            pr: self.quorum("pr")?,
            timeout_ms: self.timeout_ms()?,
        };
        let notfound_ok = self.flag("notfound_ok", true)?;
        let basic_quorum = self.flag("basic_quorum", false)?;
        Ok(Reads { options, notfound_ok, basic_quorum })
    }

    /// Returns the options of a put. Those of a delete may name W as `rw`.
    ///
    /// # Errors
    /// One of them can't take its value.
    pub(crate) fn writes(&self, is_delete: bool) -> Result<Writes, Refusal> {
        if self.flag("asis", false)? {
            return Err(Refusal::invalid(
                "asis query parameter can't be true: a node of Jedlik makes each put's version itself; leave it out",
            ));
        }
        let sync_on_write = match self.text("sync_on_write") {
            None => Ok(jedlik_riak::quorums::SyncOnWrite::default()),
            Some(text) => text.to_ascii_lowercase().parse(),
        };
        let quorums = WriteQuorums {
            w: self.quorum_or_rw("w", is_delete)?,
            dw: self.quorum("dw")?,
            node_confirms: self.quorum("node_confirms")?,
            sync_on_write: sync_on_write.map_err(|error| Refusal::invalid(error.to_string()))?,
        };
        Ok(Writes { quorums, pw: self.quorum("pw")?, timeout_ms: self.timeout_ms()? })
    }

    fn quorum_or_rw(&self, name: &str, is_delete: bool) -> Result<Quorum, Refusal> {
        let name = if is_delete && self.text(name).is_none() { "rw" } else { name };
        self.quorum(name)
    }

    fn quorum(&self, name: &str) -> Result<Quorum, Refusal> {
        let Some(text) = self.text(name) else { return Ok(Quorum::Default) };
        text.parse().map_err(|_| {
            Refusal::invalid(format!(
                "{name} query parameter must be an integer or one of the following words: 'one', 'quorum', 'all' or \
                 'default'"
            ))
        })
    }

    /// Returns the time that the request may take.
    ///
    /// # Errors
    /// The parameter is no number of milliseconds that a request may take.
    pub(crate) fn timeout_ms(&self) -> Result<u32, Refusal> {
        let Some(text) = self.text("timeout") else { return Ok(TIMEOUT_MS) };
        match text.parse() {
            Ok(ms @ 1..=TIMEOUT_MAX_MS) => Ok(ms),
            _ => Err(Refusal::invalid(format!(
                "Bad timeout value {text:?}: it is a number of milliseconds from 1 to {TIMEOUT_MAX_MS}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Uri;
    use jedlik_protocol::Quorum;
    use jedlik_riak::quorums::SyncOnWrite;

    use super::Query;

    fn query(text: &str) -> Query {
        Query::of(&format!("/k?{text}").parse::<Uri>().unwrap()).unwrap()
    }

    #[test]
    fn quorums_are_numbers_or_words_and_left_out_ones_are_the_buckets() {
        let reads = query("r=quorum&pr=1&timeout=70&rw=3&unknown=1").reads(false).unwrap();
        let options = reads.options;
        assert_eq!(
            (options.r, options.pr, options.timeout_ms),
            (Quorum::Majority, Quorum::Count(1), 70)
        );
        assert!(reads.notfound_ok && !reads.basic_quorum);
        let writes = query("w=all&dw=default&pw=one&node_confirms=2&sync_on_write=One");
        let writes = writes.writes(false).unwrap();
        assert_eq!((writes.quorums.w, writes.pw), (Quorum::All, Quorum::One));
        assert_eq!(writes.quorums.node_confirms, Quorum::Count(2));
        assert_eq!(writes.quorums.sync_on_write, SyncOnWrite::One);
        let nothing = query("").reads(false).unwrap();
        assert_eq!((nothing.options.r, nothing.options.timeout_ms), (Quorum::Default, 5_000));
    }

    #[test]
    fn rw_stands_for_r_and_w_of_a_delete() {
        let delete = query("rw=3&w=1");
        assert_eq!(delete.reads(true).unwrap().options.r, Quorum::Count(3));
        assert_eq!(delete.writes(true).unwrap().quorums.w, Quorum::Count(1));
        assert_eq!(delete.reads(false).unwrap().options.r, Quorum::Default);
    }

    #[test]
    fn a_parameter_that_makes_no_sense_is_named() {
        for (text, named) in [
            ("r=many", "r query"),
            ("r=-1", "r query"),
            ("pr=300", "pr query"),
            ("timeout=0", "timeout"),
            ("timeout=soon", "soon"),
            ("notfound_ok=perhaps", "notfound_ok"),
        ] {
            let refused = query(text).reads(false).unwrap_err();
            assert!(refused.0.failure.message.contains(named), "{text}: {refused:?}");
        }
        for (text, named) in [
            ("dw=many", "dw query"),
            ("sync_on_write=2", "sync_on_write"),
            ("asis=true", "asis"),
            ("node_confirms=x", "node_confirms"),
        ] {
            let refused = query(text).writes(false).unwrap_err();
            assert!(refused.0.failure.message.contains(named), "{text}: {refused:?}");
        }
        assert!(query("asis=FALSE").writes(false).is_ok());
    }
}
