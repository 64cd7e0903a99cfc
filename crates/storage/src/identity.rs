//! Identity of a data directory, the settings that are fixed when it is made, and the file that holds both.
//!
//! Invariant: a directory is opened only by the node, and with the settings, that it was made for; and only if the file
//! is as it was written, since each number in it decides what the node may say is absent.

use std::path::Path;

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_protocol::{ClusterId, Incarnation};
use serde::{Deserialize, Serialize};

use crate::OpenError;
use crate::past::PastFile;

/// Format of `node.toml` that is read and written. Format 1 named a single life, which it kept over a clean stop: it
/// lacks what came before. Format 2 did not say which lives have used the shards, format 3 not how far the directory
/// has followed each life.
const FORMAT: u32 = 4;

/// Text that the file begins with, before the CRC-32 of all lines after the first, in eight hexadecimal digits.
const HEADING: &str = "# Written by jedlik-node; not meant to be edited. CRC-32: ";
const REMEDY: &str = "Restore it, or start the node with an empty data directory and --new while other members \
                      are up: they refill it";

/// Identity that a node expects of its data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Cluster that the node's certificate names.
    pub cluster: ClusterId,
    /// Node that its certificate names.
    pub node: NodeId,
    /// Number of shards that the directory is cut into.
    pub shards: u16,
    /// Name of the engine in the configuration: `redb`, `lsm`, `mysql` or `memory`.
    pub engine: String,
    /// Number of partitions in the cluster, Q.
    pub partitions: PartitionCount,
}

/// Contents of `node.toml`. Identifiers are hexadecimal text, since TOML's integers have a sign.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeFile {
    format: u32,
    cluster: String,
    node: String,
    pub(crate) shards: u16,
    engine: String,
    partitions: u32,
    pub(crate) generation: u64,
    pub(crate) clean: bool,
    pub(crate) past: PastFile,
}

fn checksum(body: &str) -> String {
    format!("{:08x}", crc32fast::hash(body.as_bytes()))
}

/// Format alone, read before the rest, which a newer format may have changed.
#[derive(Deserialize)]
struct FormatOnly {
    format: u32,
}

impl NodeFile {
    /// Returns the file of a directory that is being made.
    pub(crate) fn first(identity: &Identity, incarnation: Incarnation) -> Self {
        Self {
            format: FORMAT,
            cluster: identity.cluster.to_string(),
            node: identity.node.to_string(),
            shards: identity.shards,
            engine: identity.engine.clone(),
            partitions: identity.partitions.get(),
            generation: 1,
            clean: false,
            past: PastFile::first(incarnation),
        }
    }

    /// Returns the file as the next life, `fresh`, begins.
    pub(crate) fn restarted(mut self, fresh: Incarnation) -> Self {
        self.generation += 1;
        self.clean = false;
        self.past.remember(fresh, self.generation);
        self
    }

    /// Returns the file as the life stops cleanly, having closed the shards that it used.
    pub(crate) fn stopped(&self) -> Self {
        let mut stopped = Self { clean: true, ..self.clone() };
        stopped.past.close_shards(self.generation);
        stopped
    }

    /// Returns the name of the engine that keeps the directory's records.
    pub(crate) fn engine(&self) -> &str {
        &self.engine
    }

    /// Changes the engine that keeps the directory's records.
    pub(crate) fn set_engine(&mut self, engine: &str) {
        self.engine = engine.into();
    }

    pub(crate) fn parse(text: &str, path: &Path) -> Result<Self, OpenError> {
        let damaged = |what: &str| {
            let what = format!("{what}. {REMEDY}");
            OpenError::Damaged { path: path.into(), what }
        };
        let lines = text.strip_prefix(HEADING).and_then(|rest| rest.split_once('\n'));
        if lines.is_some_and(|(stored, body)| stored != checksum(body)) {
            return Err(damaged("its checksum does not match"));
        }
        let FormatOnly { format } =
            toml::from_str(text).map_err(|error| damaged(error.message()))?;
        if format > FORMAT {
            return Err(OpenError::NewerFormat { path: path.into(), found: format, known: FORMAT });
        }
        if format < FORMAT {
            return Err(OpenError::OlderFormat { path: path.into(), found: format, known: FORMAT });
        }
        let Some((_, body)) = lines else {
            return Err(damaged("it does not begin with its checksum"));
        };
        let file: Self = toml::from_str(body).map_err(|error| damaged(error.message()))?;
        file.past.check().map_err(|what| damaged(&what))?;
        Ok(file)
    }

    pub(crate) fn encode(&self) -> String {
        let body = toml::to_string(self).expect("numbers, texts and flags are all TOML");
        format!("{HEADING}{}\n{body}", checksum(&body))
    }

    /// Refuses a directory that was made for something else.
    pub(crate) fn check(&self, identity: &Identity, path: &Path) -> Result<(), OpenError> {
        let expected = Self::first(identity, Incarnation(0));
        let own = "point the node at its own data directory";
        let fixed = "it is fixed when the directory is made: set the configuration back";
        let engine = "set the configuration back, or copy the stopped node's records into another engine \
                      with `jedlik-admin engine migrate`";
        for (what, found, expected, remedy) in [
            ("cluster", &self.cluster, &expected.cluster, own),
            ("node", &self.node, &expected.node, own),
            ("engine", &self.engine, &expected.engine, engine),
            ("a shard count of", &self.shards.to_string(), &expected.shards.to_string(), fixed),
            (
                "a partition count of",
                &self.partitions.to_string(),
                &expected.partitions.to_string(),
                fixed,
            ),
        ] {
            if found != expected {
                let (path, found, expected) = (path.into(), found.clone(), expected.clone());
                return Err(OpenError::Mismatch { path, what, found, expected, remedy });
            }
        }
        Ok(())
    }
}
