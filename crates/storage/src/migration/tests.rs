//! Migrations that end, that are cut short anywhere, and that are refused.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_protocol::{ClusterId, Durability, Incarnation};
use tempfile::{TempDir, tempdir};

use super::{MigrateError, Migrated, Migration, MigrationProgress, copy_path};
use crate::contents::{ContentsDigest, Digester, PAGE_BYTES, Place, Reader};
use crate::engine_kind::EngineKind;
use crate::fixtures::{hint, key, key_of, put, put_hints, record};
use crate::tests::memory_folder;
use crate::{DataDir, Identity, MysqlStore, Shard, ShardIdentity, ShardOptions, Store, Writes};

const CACHE_BYTES: usize = 1 << 20;
const SHARDS: u16 = 2;
/// Number of records in each of a shard's three partitions.
const RECORDS: u64 = 30;
/// Size of a page, so that a shard has several.
const SMALL_PAGE_BYTES: usize = 200_000;
/// Time that is longer than any of these tests needs on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn identity(engine: &str) -> Identity {
    Identity {
        cluster: ClusterId(7),
        node: NodeId(8),
        shards: SHARDS,
        engine: engine.into(),
        partitions: PartitionCount::DEFAULT,
    }
}

fn start(place: &TempDir, engine: &str, life: u64) -> DataDir {
    DataDir::open(place.path(), &identity(engine), Incarnation(life)).unwrap()
}

/// Makes a data directory with the engine, whose shards hold several pages of records, hints and metadata.
fn directory(engine: &str) -> TempDir {
    let place = memory_folder();
    let dir = start(&place, engine, 1);
    let kind = EngineKind::named(engine).unwrap();
    for shard in 0..SHARDS {
        let folder = dir.shard_folder(shard);
        folder.prepare().unwrap();
        fs::create_dir_all(folder.journal_dir()).unwrap();
        let store = kind.open(&folder.engine_path(), CACHE_BYTES).unwrap();
        fill(&*store, shard);
    }
    dir.mark_clean().unwrap();
    place
}

fn fill(store: &dyn Store, shard: u16) {
    let shard = u32::from(shard);
    for partition in [shard, 2 + shard, 100 + shard] {
        let rows = (0..RECORDS).map(|i| {
            // Both a record that lies apart and one that does not.
            let size = if i % 10 == 0 { 70_000 } else { 2_000 };
            (key_of(partition, u128::from(i) << 80, &i.to_string()), record(i + 1, 1, size))
        });
        put(store, &rows.collect::<Vec<_>>()).unwrap();
    }
    put_hints(store, &["a", "b", "c"].map(|name| hint(5, 9, name)));
    let metadata = vec![("past".to_owned(), Some(vec![1])), ("a".to_owned(), Some(vec![]))];
    store.write(&Writes { metadata, ..Writes::default() }).unwrap();
}

fn digest(store: &dyn Store) -> ContentsDigest {
    let (mut reader, mut digester) = (Reader::new(Place::START, PAGE_BYTES), Digester::default());
    while let Some(page) = reader.next_page(store).unwrap() {
        digester.add(&page);
    }
    digester.finish()
}

/// Returns the digests of all shards under the engine, which must be the only one there is.
fn digests(place: &Path, kind: EngineKind) -> Vec<ContentsDigest> {
    let of_shard = |shard| {
        let folder = place.join(format!("shard-{shard}"));
        let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["journal", kind.file_name()]);
        digest(&*kind.open(&folder.join(kind.file_name()), CACHE_BYTES).unwrap())
    };
    (0..SHARDS).map(of_shard).collect()
}

/// Returns the digest of the first shard's engine, beside which there may be a copy.
fn digest_of_first(place: &TempDir, kind: EngineKind) -> ContentsDigest {
    let path = place.path().join("shard-0").join(kind.file_name());
    digest(&*kind.open(&path, CACHE_BYTES).unwrap())
}

fn opened(place: &TempDir, to: &str) -> Result<Migration, MigrateError> {
    Ok(Migration { page_bytes: SMALL_PAGE_BYTES, ..Migration::open(place.path(), to)? })
}

fn migrate(place: &TempDir, to: &str) -> Result<Migrated, MigrateError> {
    opened(place, to)?.run(&mut |_| ControlFlow::Continue(()))
}

/// Migrates, and ends the migration after so many pages. Returns the progress that was told.
fn cut_after(
    place: &TempDir,
    to: &str,
    pages: usize,
) -> (Vec<MigrationProgress>, Result<Migrated, MigrateError>) {
    let mut told = Vec::new();
    let outcome = opened(place, to).unwrap().run(&mut |progress| {
        told.push(progress);
        if told.len() > pages { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    (told, outcome)
}

#[test]
fn an_engine_on_a_server_migrates_to_the_others_and_its_tables_go_and_back() {
    for to in EngineKind::TARGETS.iter().copied() {
        let server = crate::mysql_store::tests::Place::new();
        let place = memory_folder();
        let dir = start(&place, "mysql", 1);
        for shard in 0..SHARDS {
            let folder = dir.shard_folder(shard);
            folder.prepare().unwrap();
            fs::create_dir_all(folder.journal_dir()).unwrap();
            fill(&MysqlStore::open(&folder.engine_path(), &server.options()).unwrap(), shard);
        }
        dir.mark_clean().unwrap();
        let before = digests(place.path(), EngineKind::Mysql);
        let files: Vec<_> = (0..SHARDS)
            .map(|shard| place.path().join(format!("shard-{shard}/records.mysql")))
            .collect();
        let tables: Vec<_> =
            files.iter().map(|file| MysqlStore::described(file).unwrap()).collect();
        let migrated = migrate(&place, to.name()).unwrap();
        assert_eq!((migrated.from, migrated.to), ("mysql", to.name()));
        assert!(migrated.left.is_empty());
        assert_eq!(digests(place.path(), to), before);
        assert!(tables.iter().all(|tables| !server.has(tables)), "{tables:?}");

        let back = || Migration {
            page_bytes: SMALL_PAGE_BYTES,
            ..Migration::open_to_mysql(place.path(), server.options()).unwrap()
        };
        let mut pages = 0;
        let cut = back().run(&mut |_| {
            pages += 1;
            if pages > 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(matches!(cut, Err(MigrateError::Interrupted)));
        assert_eq!(digest_of_first(&place, to), before[0], "the old engine is as it was");
        let migrated = back().run(&mut |_| ControlFlow::Continue(())).unwrap();
        assert_eq!((migrated.from, migrated.to), (to.name(), "mysql"));
        assert_eq!(digests(place.path(), EngineKind::Mysql), before);
        start(&place, "mysql", 2).mark_clean().unwrap();
        files.iter().for_each(|file| MysqlStore::remove(file).unwrap());
    }
}

#[test]
fn every_engine_migrates_to_every_other_and_back() {
    for from in EngineKind::TARGETS.iter().copied() {
        for to in EngineKind::TARGETS.iter().copied().filter(|to| *to != from) {
            let place = directory(from.name());
            let before = digests(place.path(), from);
            let migrated = migrate(&place, to.name()).unwrap();
            assert_eq!((migrated.from, migrated.to), (from.name(), to.name()));
            assert!(migrated.left.is_empty());
            let told: Vec<_> = migrated.shards.iter().map(|shard| shard.digest).collect();
            assert_eq!(told, before);
            assert_eq!(before[0].records, 3 * RECORDS);
            assert_eq!(digests(place.path(), to), before);

            start(&place, to.name(), 2).mark_clean().unwrap();
            migrate(&place, from.name()).unwrap();
            assert_eq!(digests(place.path(), from), before);
            drop(start(&place, from.name(), 3));
        }
    }
}

#[test]
fn a_migration_that_was_cut_anywhere_goes_on_where_it_was() {
    let place = directory("redb");
    let before = digests(place.path(), EngineKind::Redb);
    let mut copied = 0;
    for cut in 0.. {
        let (told, outcome) = cut_after(&place, "lsm", 1);
        let Err(error) = outcome else {
            assert!(cut > 4, "it has several pages");
            break;
        };
        assert!(matches!(error, MigrateError::Interrupted), "{error}");
        if let Some(first) = told.first().filter(|first| !first.comparing) {
            assert!(first.shard > 0 || first.records > copied, "{first:?}");
            copied = if first.shard > 0 { 0 } else { first.records };
        }
        if cut > 12 {
            // Comparing is not gone on with: it has to come to its end in one go.
            migrate(&place, "lsm").unwrap();
            break;
        }
    }
    assert_eq!(digests(place.path(), EngineKind::Lsm), before);
}

#[test]
fn a_start_in_the_middle_ends_the_migration_and_the_next_one_begins_anew() {
    let place = directory("redb");
    cut_after(&place, "lsm", 1).1.unwrap_err();
    let folder = start(&place, "redb", 2).shard_folder(0);
    assert!(!copy_path(&folder, EngineKind::Lsm).exists());
    {
        let store = EngineKind::Redb.open(&folder.engine_path(), CACHE_BYTES).unwrap();
        put(&*store, &[(key_of(0, 0, "0"), record(77, 1, 10))]).unwrap();
    }
    let before = digests(place.path(), EngineKind::Redb);
    // The node has come so far, and its machine was reset before anything was removed.
    cut_after(&place, "lsm", 1).1.unwrap_err();
    let trail = fs::read(folder.path().join("migration")).unwrap();
    drop(start(&place, "redb", 3));
    fs::create_dir(copy_path(&folder, EngineKind::Lsm)).unwrap();
    fs::write(folder.path().join("migration"), trail).unwrap();

    migrate(&place, "lsm").unwrap();
    assert_eq!(digests(place.path(), EngineKind::Lsm), before);
}

#[test]
fn a_crash_between_two_steps_of_the_switch_leaves_one_of_the_two_engines_whole() {
    for crash in ["before the name", "after the name", "after the switch"] {
        let place = directory("redb");
        let before = digests(place.path(), EngineKind::Redb);
        let kept = tempdir().unwrap();
        for shard in 0..SHARDS {
            let file = format!("shard-{shard}/records.redb");
            fs::copy(place.path().join(&file), kept.path().join(shard.to_string())).unwrap();
        }
        let node = fs::read(place.path().join("node.toml")).unwrap();
        migrate(&place, "lsm").unwrap();
        for shard in 0..SHARDS {
            let folder = place.path().join(format!("shard-{shard}"));
            fs::copy(kept.path().join(shard.to_string()), folder.join("records.redb")).unwrap();
            if crash == "before the name" && shard > 0 {
                let copy = folder.join("records.lsm.copy");
                fs::rename(folder.join("records.lsm"), copy).unwrap();
            }
        }
        if crash == "after the switch" {
            drop(start(&place, "lsm", 2));
            assert_eq!(digests(place.path(), EngineKind::Lsm), before, "{crash}");
            continue;
        }
        fs::write(place.path().join("node.toml"), &node).unwrap();
        // Another attempt, and after it, in another copy of the directory, a start.
        migrate(&place, "lsm").unwrap();
        assert_eq!(digests(place.path(), EngineKind::Lsm), before, "{crash}");
        for shard in 0..SHARDS {
            let folder = place.path().join(format!("shard-{shard}"));
            fs::copy(kept.path().join(shard.to_string()), folder.join("records.redb")).unwrap();
        }
        fs::write(place.path().join("node.toml"), &node).unwrap();
        drop(start(&place, "redb", 2));
        assert_eq!(digests(place.path(), EngineKind::Redb), before, "{crash}");
    }
}

#[test]
fn what_only_the_journal_holds_comes_to_the_new_engine() {
    let place = memory_folder();
    let open = |dir: &DataDir, kind: EngineKind| {
        let folder = dir.shard_folder(0);
        folder.prepare().unwrap();
        let engine: Arc<dyn Store> = kind.open(&folder.engine_path(), CACHE_BYTES).unwrap().into();
        let identity = ShardIdentity { cluster: ClusterId(7), node: NodeId(8), shard: 0 };
        let (sender, done) = channel();
        let options = ShardOptions::new(identity, folder.journal_dir());
        let completed = Box::new(move |all| drop(sender.send(all)));
        (Shard::open(options, engine, completed).unwrap().0, done)
    };
    let dir = start(&place, "redb", 1);
    let (mut shard, done) = open(&dir, EngineKind::Redb);
    shard.apply(1, key("a"), record(1, 1, 10), Durability::Synced).unwrap();
    shard.submit();
    assert!(done.recv_timeout(PATIENCE).unwrap()[0].result.is_ok());
    // Neither is closed, as if the process were killed.
    drop((shard, dir));

    let migrated = migrate(&place, "lsm").unwrap();
    assert_eq!(migrated.shards.len(), 1, "the other one was never opened");
    let dir = start(&place, "lsm", 2);
    let (shard, _) = open(&dir, EngineKind::Lsm);
    assert_eq!(shard.load(&key("a")).unwrap(), Some(record(1, 1, 10)));
}

#[test]
fn a_damaged_record_ends_a_migration_before_anything_changes() {
    let place = directory("redb");
    let path = place.path().join("shard-1/records.redb");
    {
        let database = crate::open_redb_file(&path, CACHE_BYTES).unwrap();
        let table = redb::TableDefinition::<&[u8], &[u8]>::new("records");
        let write = database.begin_write().unwrap();
        {
            let mut table = write.open_table(table).unwrap();
            let key = crate::format::key_bytes(&key_of(3, 0, "0"));
            table.insert(key.as_slice(), [1_u8, 2, 3, 4, 5, 6].as_slice()).unwrap();
        }
        write.commit().unwrap();
    }
    let error = migrate(&place, "lsm").unwrap_err();
    assert!(matches!(error, MigrateError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("key \"0\" in bucket \"b\"") && text.contains("doctor"), "{text}");
    drop(start(&place, "redb", 2));
}

#[test]
fn a_damaged_engine_and_one_that_ended_processes_are_refused() {
    let place = directory("redb");
    let path = place.path().join("shard-0/records.redb");
    fs::write(path.with_extension("fault"), "began\nbegan\nbegan\n").unwrap();
    let error = migrate(&place, "lsm").unwrap_err();
    assert!(matches!(error, MigrateError::Open(_)), "{error}");
    fs::remove_file(path.with_extension("fault")).unwrap();

    let mut bytes = fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    for page in 4..pages {
        bytes[page * 4096 + 100] ^= 1;
    }
    fs::write(&path, bytes).unwrap();
    let error = migrate(&place, "lsm").unwrap_err();
    assert!(matches!(error, MigrateError::Open(_) | MigrateError::Unreadable { .. }), "{error}");
    drop(start(&place, "redb", 2));
    assert!(path.exists());
}

#[test]
fn what_can_not_be_migrated_is_refused_and_says_why() {
    let place = directory("redb");
    let refusal = |to: &str| Migration::open(place.path(), to).unwrap_err().to_string();
    assert!(refusal("fjall").ends_with("migration is to one of redb, lsm, mysql"));
    assert!(refusal("memory").contains("can't be \"memory\""));
    assert!(refusal("redb").ends_with("has the engine redb already"));
    let running = start(&place, "redb", 2);
    assert!(refusal("lsm").ends_with("in use by another process"));
    drop(running);

    let error = DataDir::open(place.path(), &identity("lsm"), Incarnation(3)).unwrap_err();
    assert!(error.to_string().contains("jedlik-admin engine migrate"), "{error}");

    let other = tempdir().unwrap();
    drop(start(&other, "memory", 1));
    let error = Migration::open(other.path(), "lsm").unwrap_err();
    assert!(error.to_string().contains("engine memory, which keeps nothing on disk"), "{error}");
    let nothing = tempdir().unwrap();
    let error = Migration::open(nothing.path(), "lsm").unwrap_err();
    assert!(error.to_string().contains("not a data directory"), "{error}");
}
