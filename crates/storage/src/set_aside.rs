//! Notes of a data directory about a past that is lost or disputed, and shards that it may not use any more.
//!
//! Invariant: a shard is moved as a whole, by one rename, after `node.toml` says that it is to go and before it
//! says that it is gone. Nothing here deletes anything.

use std::fs;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jedlik_protocol::Incarnation;
use jedlik_protocol::gossip::Rival;

use crate::datadir::DataDir;
use crate::disk::make_directory;
use crate::error::OpenError;
use crate::life_mark::{LifeMark, MarkFound, is_expected};
use crate::past::RivalFile;

/// Folder below the data directory that takes what is set aside.
const SET_ASIDE: &str = "set-aside";
const EXPLANATION: &str = "\
These shards were set aside by jedlik-node, because the cluster remembers lives of this node that they do not: they are
an earlier copy of the node's data, or were left behind by one. They may hold what was deleted since, so the node does
not read them: it was started again with empty shards, which the other nodes fill.

Whatever was acknowledged is on the other nodes, unless more copies were lost than the bucket's W allows. If you miss
nothing, delete this folder. If you do, this lists the keys and versions that are in it, and writes them as a dump:

    jedlik-node inspect-set-aside --help

The folder has the shards as they were, one folder each: the engine's file and the journal.
";

impl DataDir {
    /// Returns the generation up to which lives are accounted for, whatever their names were.
    #[must_use]
    pub fn accounted_generation(&self) -> u64 {
        self.node().past.accounted_generation
    }

    /// Returns the shards that have lost their past and may not say so themselves yet.
    #[must_use]
    pub fn lost_shards(&self) -> &[u16] {
        &self.node().past.lost_shards
    }

    /// Returns the other process of this node that ran beside one of this directory; `None` if there was none, or if an
    /// admin has decided between them.
    #[must_use]
    pub fn rival(&self) -> Option<Rival> {
        self.node().past.rival.as_ref().map(RivalFile::rival)
    }

    /// Whether the others had done without this directory's process for long when it found the rival; `None` if none of
    /// them had said so.
    #[must_use]
    pub fn outlived(&self) -> Option<bool> {
        self.node().past.rival.as_ref()?.outlived
    }

    /// Returns the lives that ended when an admin decided for this directory, the latest one last.
    #[must_use]
    pub fn ousts(&self) -> Vec<Incarnation> {
        self.node().past.ousts().collect()
    }

    /// Whether the node has served with this directory.
    #[must_use]
    pub fn has_served(&self) -> bool {
        self.node().past.served
    }

    /// Notes, durably, that the node serves: from now on the directory is not an empty one.
    ///
    /// # Errors
    /// The operating system's.
    pub fn note_serving(&mut self) -> Result<(), OpenError> {
        if self.has_served() { Ok(()) } else { self.rewrite(|node| node.past.served = true) }
    }

    /// Notes, durably, that the cluster remembers a life that this directory does not. The next start sets all shards
    /// aside, if the directory was ever served with, and notes that they have lost their past. A rival that the directory
    /// names is one of an earlier time.
    ///
    /// # Errors
    /// The operating system's; nothing has changed then.
    pub fn forget(&mut self, forgotten: Incarnation, generation: u64) -> Result<(), OpenError> {
        let folder = format!("{}-generation-{}", today(), self.generation());
        self.rewrite(|node| {
            if node.past.served {
                node.past.set_aside = Some(folder);
                node.past.expect_no_marks();
            }
            node.past.rival = None;
            node.past.lost_shards = (0..node.shards).collect();
            node.past.account_for(forgotten, generation);
            node.generation = node.generation.max(generation);
        })
    }

    /// Notes, durably, that another process of this node runs or has run beside this one. What [`Self::outlived`] says
    /// of the first rival stays.
    ///
    /// # Errors
    /// The operating system's; nothing has changed then.
    pub fn note_rival(&mut self, rival: Rival) -> Result<(), OpenError> {
        let outlived = self.outlived();
        self.rewrite(|node| {
            node.past.rival = Some(RivalFile::new(rival, outlived));
        })
    }

    /// Notes, durably, whether the others had done without the process that has found a rival for so long that they may
    /// have forgotten deletes of which it never heard.
    ///
    /// # Errors
    /// The operating system's; nothing has changed then.
    pub fn note_absence(&mut self, outlived: bool) -> Result<(), OpenError> {
        self.rewrite(|node| {
            if let Some(rival) = &mut node.past.rival {
                rival.outlived = Some(outlived);
            }
        })
    }

    /// Notes, durably, that an admin has decided for this directory and against its rival. All shards have lost their
    /// past, since what the rival was given is not here. Their contents stay, unless deletes of which this directory
    /// knows nothing may have been forgotten meanwhile (`outlived`): then the next start sets them aside.
    ///
    /// # Errors
    /// The operating system's; nothing has changed then.
    pub fn prevail(&mut self, outlived: bool) -> Result<(), OpenError> {
        let Some(Rival { incarnation: rival, .. }) = self.rival() else { return Ok(()) };
        let folder = format!("{}-generation-{}", today(), self.generation());
        self.rewrite(|node| {
            if outlived && node.past.served {
                node.past.set_aside = Some(folder);
                node.past.expect_no_marks();
            }
            node.past.rival = None;
            node.past.oust(rival);
            node.past.account_for(rival, 0);
            node.past.lost_shards = (0..node.shards).collect();
        })
    }

    /// Notes, durably, that an admin has decided against this directory, which is not opened any more.
    ///
    /// # Errors
    /// The operating system's; nothing has changed then.
    pub fn cede(&mut self, by: SocketAddr) -> Result<(), OpenError> {
        self.rewrite(|node| node.past.ousted_by = Some(by))
    }

    /// Whether an admin has said to believe this directory, though the cluster may remember lives that it does not.
    #[must_use]
    pub fn is_believed(&self) -> bool {
        self.node().past.believed
    }

    /// Notes, durably, that the directory at `path`, which no process may have open, is to be believed: the next start
    /// uses it as it is, whatever the cluster remembers. Returns the folder of shards that were set aside already, if
    /// there is one.
    ///
    /// # Errors
    /// The directory is in use, is none, was given up, is damaged, or has another format; nothing has changed then.
    pub fn believe(path: &Path) -> Result<Option<PathBuf>, OpenError> {
        let mut directory = Self::open_stopped(path)?;
        directory.rewrite(|node| {
            node.past.believed = true;
            // Shards are noted to be set aside, and are still here.
            if node.past.set_aside.take().is_some() {
                node.past.lost_shards.clear();
            }
        })?;
        let aside = path.join(SET_ASIDE);
        Ok(aside.exists().then_some(aside))
    }

    /// Notes, durably, that a life that the cluster remembers and this directory does not was given up.
    ///
    /// # Errors
    /// The operating system's; nothing has changed then.
    pub fn give_up_life(&mut self, life: Incarnation) -> Result<(), OpenError> {
        self.rewrite(|node| node.past.account_for(life, 0))
    }

    /// Notes, durably, that the directory is no longer to be believed more than any other.
    ///
    /// # Errors
    /// The operating system's; nothing has changed then.
    pub fn end_belief(&mut self) -> Result<(), OpenError> {
        self.rewrite(|node| node.past.believed = false)
    }

    /// Notes, durably, that each shard that has lost its past says so itself ([`crate::Shard::lose_past`]).
    ///
    /// # Errors
    /// The operating system's; nothing has changed then.
    pub fn note_marked(&mut self) -> Result<(), OpenError> {
        if self.lost_shards().is_empty() {
            return Ok(());
        }
        self.rewrite(|node| node.past.lost_shards.clear())
    }

    /// Whether a shard with these marks is the one that this directory's last life has left, or a later one.
    #[must_use]
    pub fn expects(&self, shard: u16, engine: MarkFound, journal: MarkFound) -> bool {
        let past = &self.node().past;
        let is_known = |mark: &LifeMark| {
            mark.generation <= past.accounted_generation
                || past.lives().any(|life| life == mark.life)
        };
        let expected = past.expected_mark(shard);
        [engine, journal].into_iter().all(|found| is_expected(expected, found, is_known))
    }

    /// Returns the mark of this life, for the shards that it uses.
    #[must_use]
    pub fn life_mark(&self) -> LifeMark {
        let (generation, life) = (self.generation(), self.incarnation());
        LifeMark { generation, life, stopped: false }
    }

    /// Notes, durably, that these shards have the mark of this life ([`crate::Shard::mark_life`]).
    ///
    /// # Errors
    /// The operating system's; nothing has changed then.
    pub fn note_life_marks(&mut self, shards: &[u16]) -> Result<(), OpenError> {
        let mark = self.life_mark();
        self.rewrite(|node| node.past.expect_mark(shards, mark))
    }

    /// Sets one shard aside that is not what this directory's last life has left: its folder, or a part of it, is an
    /// earlier copy, or gone. Returns where the shard lies, if there was anything. The shard, which must be closed, has
    /// lost its past; the others stay as they are.
    ///
    /// # Errors
    /// The operating system's; the next start continues.
    pub fn set_shard_aside(&mut self, shard: u16) -> Result<Option<PathBuf>, OpenError> {
        self.lose_shard(shard)?;
        let folder = self.shard_folder(shard).path();
        let holds_any = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
        if !holds_any {
            return Ok(None);
        }
        let aside = format!("{}-generation-{}", today(), self.generation());
        self.move_aside(&aside, shard..shard + 1)?;
        Ok(Some(self.path().join(SET_ASIDE).join(aside).join(format!("shard-{shard}"))))
    }

    /// Moves the shards that are to be set aside, as far as they have not been moved.
    pub(crate) fn finish_setting_aside(&mut self) -> Result<(), OpenError> {
        let Some(folder) = self.node().past.set_aside.clone() else { return Ok(()) };
        self.move_aside(&folder, 0..self.node().shards)?;
        self.rewrite(|node| node.past.set_aside = None)
    }

    fn move_aside(&self, folder: &str, shards: Range<u16>) -> Result<(), OpenError> {
        let parent = self.path().join(SET_ASIDE);
        let target = parent.join(folder);
        let io = |doing, path: &Path| {
            let path = path.to_path_buf();
            move |error| OpenError::io(doing, &path, error)
        };
        make_directory(&parent).map_err(io("making", &parent))?;
        make_directory(&target).map_err(io("making", &target))?;
        let readme = target.join("README.txt");
        fs::write(&readme, EXPLANATION).map_err(io("writing", &readme))?;
        for shard in shards {
            let name = format!("shard-{shard}");
            let (from, to) = (self.path().join(&name), target.join(&name));
            if from.exists() && !to.exists() {
                fs::rename(&from, &to).map_err(io("setting aside", &from))?;
            }
        }
        for path in [&target, &parent, &self.path().to_path_buf()] {
            let synced = fs::File::open(path).and_then(|folder| folder.sync_all());
            synced.map_err(io("syncing", path))?;
        }
        Ok(())
    }
}

/// Returns today's date, as in `2026-11-28`.
fn today() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    date(since.unwrap_or(Duration::ZERO).as_secs() / 86_400)
}

/// Returns the civil date of a day, counted from 1970-01-01.
fn date(day: u64) -> String {
    // Days are counted from 0000-03-01, so that a leap day is the last of its year.
    let day = day + 719_468;
    let (era, of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{of_month:02}")
}

#[cfg(test)]
mod tests;
