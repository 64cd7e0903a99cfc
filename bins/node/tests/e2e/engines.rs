//! The engine of the tests' nodes, and damage to its files, or to its tables, while a node is stopped.
//!
//! `JEDLIK_TEST_ENGINE` names the engine of all nodes for which a test chooses none; otherwise it is a node's default.
//! Nodes on a MySQL server share one MariaDB, which ends with this process, and have a database each.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use jedlik_engines::{Engine, Tables, flipped};
use jedlik_services::PrivateServer;
use jedlik_storage::open_redb_file;
use lsm_tree::{
    AbstractTree, AnyTree, Config, Guard, KvSeparationOptions, SeqNo, SequenceNumberCounter,
};
use redb::{ReadableDatabase, TableDefinition};

use crate::node::Node;

/// Table of records in a redb file; a copy of the definition in `crates/storage`, `redb_store.rs`.
const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");
/// Byte with which the keys of records begin in sorted tables; a copy of the one in `lsm_store.rs`.
const SORTED_RECORDS: u8 = b'r';
/// Size from which a value lies apart from its row there; a copy of the one in `lsm_store/tree.rs`.
const APART_BYTES: u32 = 512;
/// Size of redb's pages, and the first byte of those with rows.
const PAGE_BYTES: usize = 4096;
const LEAF: u8 = 1;
/// Distance between two bits that flip in sorted tables: each block of rows has some.
const FLIP_EVERY_BYTES: usize = 64;
/// One of so many pages with rows is hit in a redb file, and one of so many rows in a table.
const FLIP_EVERY_PAGES: usize = 7;
const FLIP_EVERY_ROWS: usize = 7;
/// Row of a server's table of metadata that is read at each start; a copy of the names in `crates/storage`.
const READ_AT_STARTS: &str = "m.life";

/// Rows of records, by their keys in the engine's own bytes.
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
/// Changes to rows; `None` removes one.
type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Returns the engine of nodes for which a test chooses none.
pub(crate) fn usual() -> Engine {
    let named = env::var("JEDLIK_TEST_ENGINE").ok();
    named.map_or(Engine::ALL[0], |name| name.parse().unwrap())
}

/// Makes a database for a node of its own, and returns the options of the node, and of the admin tool, that name it.
pub(crate) fn database() -> [String; 3] {
    static SERVER: OnceLock<PrivateServer> = OnceLock::new();
    static MADE: AtomicU32 = AtomicU32::new(0);
    let server = SERVER
        .get_or_init(|| PrivateServer::start(&[]).expect("these tests need MariaDB's programs"));
    let name = format!("node_{}", MADE.fetch_add(1, Ordering::Relaxed));
    server.sql(&format!("CREATE DATABASE {name}")).unwrap();
    [
        format!("--mysql-socket={}", server.socket().display()),
        "--mysql-user=root".into(),
        format!("--mysql-database={name}"),
    ]
}

/// Changes the last byte of every value in a stopped node's engines, and returns the number of values.
pub(crate) fn damage_all(node: &Node) -> usize {
    let damaged = |_, mut value: Vec<u8>| {
        // The last byte belongs to the value; the checksum is before it.
        *value.last_mut().unwrap() ^= 1;
        Some(value)
    };
    let change = |rows: Rows| {
        let changed = rows.into_iter().enumerate();
        changed.map(|(number, (key, value))| (key, damaged(number, value))).collect()
    };
    node.shards().iter().map(|shard| change_records(node.engine(), shard, change)).sum()
}

/// Alters every other of `count` records of a stopped node's engines, spread over them, and removes the rest; returns
/// the number of both.
pub(crate) fn damage_some(node: &Node, count: usize) -> usize {
    let shards = node.shards();
    let count = count / shards.len();
    let change = |rows: Rows| -> Changes {
        assert!(rows.len() >= count, "{} records", rows.len());
        let every = rows.len() / count;
        let hit = rows.into_iter().step_by(every).take(count).enumerate();
        hit.map(|(number, (key, mut value))| {
            *value.last_mut().unwrap() ^= 1;
            (key, (number % 2 == 0).then_some(value))
        })
        .collect()
    };
    shards.iter().map(|shard| change_records(node.engine(), shard, change)).sum()
}

/// Makes the changes to the records of a stopped shard that `change` returns, and returns their number.
fn change_records(engine: Engine, shard: &Path, change: impl Fn(Rows) -> Changes) -> usize {
    let path = shard.join(engine.file_name());
    match engine {
        Engine::Redb => change_in_redb(&path, change),
        Engine::Lsm => change_in_sorted_tables(&path, change),
        Engine::Mysql => change_on_server(&tables(shard), change),
    }
}

/// Returns the tables of a shard on a server.
fn tables(shard: &Path) -> Tables {
    Tables::named_at(&shard.join(Engine::Mysql.file_name())).unwrap().expect("the shard has tables")
}

fn change_on_server(tables: &Tables, change: impl Fn(Rows) -> Changes) -> usize {
    let records = tables.records();
    let rows = tables.sql(&format!("SELECT HEX(k), HEX(value) FROM {records}")).unwrap();
    let row = |line: &str| line.split_once('\t').map(|(key, value)| (bytes(key), bytes(value)));
    let changes = change(rows.lines().map(|line| row(line).unwrap()).collect());
    let statement = |(key, value): (&Vec<u8>, &Option<Vec<u8>>)| {
        let key = hex(key);
        match value {
            Some(value) => {
                format!("UPDATE {records} SET value = x'{}' WHERE k = x'{key}';\n", hex(value))
            }
            None => format!("DELETE FROM {records} WHERE k = x'{key}';\n"),
        }
    };
    let statements: String = changes.iter().map(statement).collect();
    tables.sql(&format!("START TRANSACTION;\n{statements}COMMIT")).unwrap();
    changes.len()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn change_in_redb(path: &Path, change: impl Fn(Rows) -> Changes) -> usize {
    let database = open_redb_file(path, 1 << 20).unwrap();
    let reading = database.begin_read().unwrap();
    let rows = reading.open_table(RECORDS).unwrap();
    let rows = rows.range::<&[u8]>(..).unwrap().map(|row| row.unwrap());
    let changes =
        change(rows.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())).collect());
    let writing = database.begin_write().unwrap();
    {
        let mut records = writing.open_table(RECORDS).unwrap();
        for (key, value) in &changes {
            match value {
                Some(value) => drop(records.insert(key.as_slice(), value.as_slice()).unwrap()),
                None => drop(records.remove(key.as_slice()).unwrap()),
            }
        }
    }
    writing.commit().unwrap();
    changes.len()
}

fn change_in_sorted_tables(path: &Path, change: impl Fn(Rows) -> Changes) -> usize {
    let [written, visible] = [SequenceNumberCounter::default(), SequenceNumberCounter::default()];
    let apart = KvSeparationOptions::default().separation_threshold(APART_BYTES);
    let config = Config::new(path, written.clone(), visible.clone());
    let tree: AnyTree = config.with_kv_separation(Some(apart)).open().unwrap();
    let next = tree.get_highest_seqno().map_or(0, |highest| highest + 1);
    [written, visible].iter().for_each(|counter| counter.fetch_max(next));
    let rows = tree.prefix([SORTED_RECORDS], SeqNo::MAX, None).map(|row| row.into_inner().unwrap());
    let changes = change(rows.map(|(key, value)| (key.to_vec(), value.to_vec())).collect());
    let mut ingestion = tree.ingestion().unwrap();
    for (key, value) in &changes {
        match value {
            Some(value) => ingestion.write(key.as_slice(), value.as_slice()).unwrap(),
            None => ingestion.write_tombstone(key.as_slice()).unwrap(),
        }
    }
    ingestion.finish().unwrap();
    changes.len()
}

/// Flips bits in some of the pages, in each of the blocks, or in some of the rows, that hold records of a stopped shard,
/// so that its engine is found to be damaged.
pub(crate) fn rot(engine: Engine, shard: &Path) {
    let hit = match engine {
        Engine::Redb => in_files(engine, shard, |bytes| {
            let has_rows = |page: &[u8]| page.windows(5).any(|window| window == b"kept-");
            let pages = leaves(bytes).filter(|page| has_rows(page)).step_by(FLIP_EVERY_PAGES);
            pages.map(|page| page[0] ^= 8).count()
        }),
        Engine::Lsm => in_files(engine, shard, |bytes| {
            // The rows come before the index.
            let rows = bytes.len() / 2;
            bytes[..rows].iter_mut().step_by(FLIP_EVERY_BYTES).for_each(|byte| *byte ^= 4);
            rows
        }),
        Engine::Mysql => rot_on_server(&tables(shard)),
    };
    assert!(hit > 0, "{} has rows", shard.display());
}

/// Flips bits in the names of some records, and in a row without which the shard is not opened.
fn rot_on_server(tables: &Tables) -> usize {
    let [in_name, in_value] =
        ["name", "value"].map(|column| flipped(column, &format!("LENGTH({column})"), 1));
    let (records, metadata) = (tables.records(), tables.metadata());
    let some = format!("ORD(RIGHT(k, 1)) % {FLIP_EVERY_ROWS} = 0");
    let hit = tables.sql(&format!(
        "UPDATE {metadata} SET {in_value} WHERE name = '{READ_AT_STARTS}'; SELECT ROW_COUNT(); \
         UPDATE {records} SET {in_name} WHERE {some}; SELECT ROW_COUNT()"
    ));
    let hit = hit.unwrap();
    let (of_metadata, of_records) = hit.trim_end().split_once('\n').unwrap();
    assert_eq!(of_metadata, "1");
    of_records.parse().unwrap()
}

/// Flips a bit in every row of a stopped shard in which `text` is found, `at` bytes past its beginning; returns the
/// number of rows.
pub(crate) fn flip_in_rows(engine: Engine, shard: &Path, text: &[u8], at: usize) -> usize {
    let flip = |bytes: &mut [u8]| {
        let found = |place: &usize| bytes[*place..].starts_with(text);
        let places: Vec<usize> = (0..bytes.len()).filter(found).collect();
        places.iter().for_each(|place| bytes[place + at] ^= 1);
        places.len()
    };
    match engine {
        Engine::Redb => in_files(engine, shard, |bytes| leaves(bytes).map(flip).sum()),
        Engine::Lsm => in_files(engine, shard, flip),
        Engine::Mysql => {
            let tables = tables(shard);
            let place = format!("LOCATE(x'{}', name)", hex(text));
            let (records, flipped) =
                (tables.records(), flipped("name", &format!("({place} + {at})"), 1));
            let statements =
                format!("UPDATE {records} SET {flipped} WHERE {place} > 0; SELECT ROW_COUNT()");
            tables.sql(&statements).unwrap().trim_end().parse().unwrap()
        }
    }
}

/// Changes those of an engine's files that have rows, and returns the sum of what `change` returns for each.
fn in_files(engine: Engine, shard: &Path, change: impl Fn(&mut [u8]) -> usize) -> usize {
    let files = engine.files(shard).unwrap();
    let with_rows = files.iter().filter(|path| engine != Engine::Lsm || is_table(path));
    let changed = with_rows.map(|path| {
        let mut bytes = fs::read(path).unwrap();
        let changed = change(&mut bytes);
        fs::write(path, bytes).unwrap();
        changed
    });
    changed.sum()
}

/// Returns a redb file's pages of rows. The file's own header is left alone.
fn leaves(bytes: &mut [u8]) -> impl Iterator<Item = &mut [u8]> {
    bytes.chunks_mut(PAGE_BYTES).skip(1).filter(|page| page[0] == LEAF)
}

fn is_table(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with("tables"))
}
