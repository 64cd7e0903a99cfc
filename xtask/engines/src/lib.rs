//! Engines on which tests run real nodes: their names in a node's configuration, their files in a shard's folder, and
//! their tables on a server.
//!
//! Invariant: this is the one list of engines that chaos, the end-to-end tests and CI go through.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

mod tables;

pub use tables::{Tables, flipped};

/// Engine that keeps a node's records on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    /// Engine that keeps a shard's records in one redb file.
    Redb,
    /// Engine that keeps them in a folder of sorted tables.
    Lsm,
    /// Engine that keeps them in tables of a MySQL or MariaDB server, which a file names.
    Mysql,
}

impl Engine {
    /// Every engine, beginning with the default of a node.
    pub const ALL: [Self; 3] = [Self::Redb, Self::Lsm, Self::Mysql];

    /// Returns the engine's name in a node's configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            Self::Lsm => "lsm",
            Self::Mysql => "mysql",
        }
    }

    /// Returns the name of the engine's file, or of its folder, in a shard's folder.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Redb => "records.redb",
            Self::Lsm => "records.lsm",
            Self::Mysql => "records.mysql",
        }
    }

    /// Returns the engine's files in a shard's folder, in the order of their paths; none if there is no such engine.
    ///
    /// # Errors
    /// A folder can't be read.
    pub fn files(self, shard: &Path) -> io::Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        collect(&shard.join(self.file_name()), &mut files)?;
        files.sort();
        Ok(files)
    }

    /// Flips a bit of what the engine keeps for a shard, in one of its files or in a row of its tables; whoever has it
    /// open sees it. `below` chooses the place and the bit: it returns a number below its argument. Returns false if
    /// there was nothing to flip, or the engine has removed it by now.
    ///
    /// # Errors
    /// A file can't be read or written, or the server of the tables refuses.
    pub fn flip_a_bit(self, shard: &Path, below: &mut dyn FnMut(u64) -> u64) -> io::Result<bool> {
        if self == Self::Mysql {
            let tables = Tables::named_at(&shard.join(self.file_name()))?;
            return tables.map_or(Ok(false), |tables| tables.flip_a_bit(below));
        }
        let files = self.files(shard)?;
        if files.is_empty() {
            return Ok(false);
        }
        let path = &files[below(files.len() as u64) as usize];
        let flipped = File::options().read(true).write(true).open(path).and_then(|file| {
            let length = file.metadata()?.len();
            if length == 0 {
                return Ok(false);
            }
            let (at, bit) = (below(length), below(8));
            let mut byte = [0];
            file.read_exact_at(&mut byte, at)?;
            file.write_all_at(&[byte[0] ^ (1 << bit)], at)?;
            Ok(true)
        });
        match flipped {
            Err(error) if is_gone(&error) => Ok(false),
            flipped => flipped,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Engine {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|engine| engine.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no engine {name:?} on disk: {names}")
        })
    }
}

/// Adds a file, or all files in a folder and below it. What is gone, or goes meanwhile, is left out.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.into());
        return Ok(());
    }
    let mut entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if is_gone(&error) => return Ok(()),
        Err(error) => return Err(error),
    };
    entries.try_for_each(|entry| collect(&entry?.path(), files))
}

/// Whether a file or folder has gone since it was found.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back_and_another_one_is_told_the_names() {
        for engine in Engine::ALL {
            assert_eq!(engine.to_string().parse(), Ok(engine));
        }
        let error = "memory".parse::<Engine>().unwrap_err();
        assert!(error.contains("redb, lsm, mysql"), "{error}");
    }

    #[test]
    fn files_are_found_wherever_an_engine_keeps_them_and_those_of_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "of another kind").unwrap();
        for engine in Engine::ALL {
            assert!(engine.files(folder.path()).unwrap().is_empty());
            assert!(engine.files(&folder.path().join("file")).unwrap().is_empty());
        }
        fs::write(folder.path().join("records.redb"), "one").unwrap();
        let tables = folder.path().join("records.lsm/tables");
        fs::create_dir_all(&tables).unwrap();
        fs::write(tables.join("0"), "two").unwrap();
        fs::write(folder.path().join("records.lsm/current"), "three").unwrap();
        fs::write(folder.path().join("records.mysql"), "four").unwrap();
        let below = |engine: Engine| -> Vec<String> {
            let files = engine.files(folder.path()).unwrap();
            let relative = files.iter().map(|path| path.strip_prefix(folder.path()).unwrap());
            relative.map(|path| path.to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(below(Engine::Redb), ["records.redb"]);
        assert_eq!(below(Engine::Lsm), ["records.lsm/current", "records.lsm/tables/0"]);
        assert_eq!(below(Engine::Mysql), ["records.mysql"]);
    }

    #[test]
    fn one_bit_flips_where_chance_says() {
        let folder = tempfile::tempdir().unwrap();
        let shard = folder.path();
        assert!(!Engine::Lsm.flip_a_bit(shard, &mut |_| 0).unwrap(), "there is nothing");
        fs::create_dir(shard.join("records.lsm")).unwrap();
        let files = ["empty", "first", "second"].map(|name| shard.join("records.lsm").join(name));
        for (path, length) in files.iter().zip([0, 3, 2]) {
            fs::write(path, vec![0; length]).unwrap();
        }
        for (file, at, bit) in [(1, 1, 2), (2, 1, 7)] {
            let mut said = [(3, file), (4 - file, at), (8, bit)].into_iter();
            let mut below = |limit: u64| said.next().filter(|said| said.0 == limit).unwrap().1;
            assert!(Engine::Lsm.flip_a_bit(shard, &mut below).unwrap());
        }
        assert!(!Engine::Lsm.flip_a_bit(shard, &mut |_| 0).unwrap(), "the file is empty");
        assert_eq!(fs::read(&files[1]).unwrap(), [0, 4, 0]);
        assert_eq!(fs::read(&files[2]).unwrap(), [0, 128]);
    }
}
