//! Memory of a data directory: its node's lives, and what is still to be done about a past that is lost.
//!
//! Invariant: a task is written here, durably, before any of it is done, and taken away after all of it: a crash in
//! between leaves it to the next start.

use std::net::SocketAddr;

use jedlik_protocol::Incarnation;
use jedlik_protocol::gossip::Rival;
use serde::{Deserialize, Serialize};

use crate::LifeMark;

/// Largest number of lives that a directory remembers.
const LIVES_MAX: usize = 32;

/// Contents of the table `past` of `node.toml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PastFile {
    /// Lives of the node that the directory remembers, the present one last.
    lives: Vec<LifeFile>,
    /// Generation up to which lives are accounted for, whatever their names were.
    pub(crate) accounted_generation: u64,
    /// Whether the node has served with this directory: it is not an empty one any more.
    pub(crate) served: bool,
    /// Shards that have lost their past and may not say so themselves yet.
    pub(crate) lost_shards: Vec<u16>,
    /// Folder that the shards are being moved to.
    pub(crate) set_aside: Option<String>,
    /// Process that ran beside one of this directory under the node's identity; `None` once an admin has decided.
    pub(crate) rival: Option<RivalFile>,
    /// Lives that ended when an admin decided for this directory, the latest one last.
    ousts: Vec<String>,
    /// Address of the process for which an admin has decided, against this directory.
    pub(crate) ousted_by: Option<SocketAddr>,
    /// Whether an admin has said to believe this directory, though the cluster may remember lives that it does not.
    pub(crate) believed: bool,
    /// Marks that shards have; a shard that is not listed may have any.
    marks: Vec<MarkFile>,
}

/// Mark that a shard has, unless it has a later one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MarkFile {
    shard: u16,
    generation: u64,
    life: String,
    stopped: bool,
}

/// Life of the node, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LifeFile {
    life: String,
    /// Last tick of the life that the directory has; `None` if nothing of the life may be missing.
    tick: Option<u32>,
}

impl LifeFile {
    fn whole(life: Incarnation) -> Self {
        Self { life: hexadecimal(life), tick: None }
    }
}

/// Rival of the directory's process, as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RivalFile {
    incarnation: String,
    pub(crate) address: SocketAddr,
    /// Whether the others had done without this directory's process for long when it found the rival; `None` if it
    /// ended before any of them had said so.
    pub(crate) outlived: Option<bool>,
}

impl RivalFile {
    pub(crate) fn new(rival: Rival, outlived: Option<bool>) -> Self {
        let Rival { incarnation, address } = rival;
        Self { incarnation: hexadecimal(incarnation), address, outlived }
    }

    pub(crate) fn rival(&self) -> Rival {
        Rival { incarnation: parsed(&self.incarnation), address: self.address }
    }
}

impl PastFile {
    /// Returns the table of a directory that is being made.
    pub(crate) fn first(incarnation: Incarnation) -> Self {
        Self { lives: vec![LifeFile::whole(incarnation)], ..Self::default() }
    }

    /// Adds the life that begins now; the oldest go once there are too many.
    pub(crate) fn remember(&mut self, fresh: Incarnation, generation: u64) {
        self.lives.push(LifeFile::whole(fresh));
        let surplus = self.lives.len().saturating_sub(LIVES_MAX);
        if surplus > 0 {
            self.lives.drain(..surplus);
            let forgotten = generation.saturating_sub(LIVES_MAX as u64);
            self.accounted_generation = self.accounted_generation.max(forgotten);
        }
    }

    /// Notes how far the directory has followed the last life.
    pub(crate) fn note_tick(&mut self, tick: u32) {
        if let Some(last) = self.lives.last_mut() {
            last.tick = Some(tick);
        }
    }

    /// Returns, for each life of which the directory may lack a part, the last tick that it has.
    pub(crate) fn ticks(&self) -> impl Iterator<Item = (Incarnation, u32)> {
        self.lives.iter().filter_map(|known| Some((parsed(&known.life), known.tick?)))
    }

    /// Accounts for a life that the cluster remembers and the directory did not, or not all of it.
    pub(crate) fn account_for(&mut self, incarnation: Incarnation, generation: u64) {
        let life = hexadecimal(incarnation);
        match self.lives.iter_mut().find(|known| known.life == life) {
            Some(known) => known.tick = None,
            None => {
                let present = self.lives.len().saturating_sub(1);
                self.lives.insert(present, LifeFile::whole(incarnation));
            }
        }
        self.accounted_generation = self.accounted_generation.max(generation);
    }

    /// Returns the mark that a shard is to have, unless it has a later one; `None` if it may have any.
    pub(crate) fn expected_mark(&self, shard: u16) -> Option<LifeMark> {
        let file = self.marks.iter().find(|mark| mark.shard == shard)?;
        let life = parsed(&file.life);
        Some(LifeMark { generation: file.generation, life, stopped: file.stopped })
    }

    /// Expects of `shards` from now on that they have `mark`, or a later one.
    pub(crate) fn expect_mark(&mut self, shards: &[u16], mark: LifeMark) {
        self.marks.retain(|known| !shards.contains(&known.shard));
        let LifeMark { generation, life, stopped } = mark;
        let marked =
            |shard: &u16| MarkFile { shard: *shard, generation, life: hexadecimal(life), stopped };
        self.marks.extend(shards.iter().map(marked));
    }

    /// Expects no marks from now on, since the shards are new.
    pub(crate) fn expect_no_marks(&mut self) {
        self.marks.clear();
    }

    /// Notes that the present life has closed all shards that it has used.
    pub(crate) fn close_shards(&mut self, generation: u64) {
        for mark in self.marks.iter_mut().filter(|mark| mark.generation == generation) {
            mark.stopped = true;
        }
    }

    /// Returns the lives that the directory remembers, the present one last.
    pub(crate) fn lives(&self) -> impl DoubleEndedIterator<Item = Incarnation> {
        self.lives.iter().map(|known| parsed(&known.life))
    }

    pub(crate) fn ousts(&self) -> impl Iterator<Item = Incarnation> {
        self.ousts.iter().map(|life| parsed(life))
    }

    /// Adds a life that ends; the oldest go once there are too many.
    pub(crate) fn oust(&mut self, incarnation: Incarnation) {
        self.ousts.push(hexadecimal(incarnation));
        let surplus = self.ousts.len().saturating_sub(LIVES_MAX);
        self.ousts.drain(..surplus);
    }

    /// Checks that the table names a life and that every name is a number. The error is the defect that was found.
    pub(crate) fn check(&self) -> Result<(), String> {
        let rival = self.rival.iter().map(|rival| &rival.incarnation);
        let marks = self.marks.iter().map(|mark| &mark.life);
        let lives = self.lives.iter().map(|known| &known.life);
        for life in lives.chain(&self.ousts).chain(rival).chain(marks) {
            if u64::from_str_radix(life, 16).is_err() {
                return Err(format!("incarnation {life:?} is not a number"));
            }
        }
        if self.lives.is_empty() {
            return Err("it names no life of the node".into());
        }
        Ok(())
    }
}

fn hexadecimal(incarnation: Incarnation) -> String {
    format!("{:016x}", incarnation.0)
}

/// Returns the life that a stored name stands for. All stored names are numbers: see [`PastFile::check`].
fn parsed(life: &str) -> Incarnation {
    Incarnation(u64::from_str_radix(life, 16).unwrap_or_default())
}
