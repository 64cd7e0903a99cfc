//! Servers, databases and tables that are refused, each with what to do about it.

use std::fs;
use std::sync::OnceLock;

use jedlik_services::PrivateServer;

use super::{AccessFile, MysqlStore, Place, TablesId, server, sql_of, started};
use crate::fixtures::{key, put, record};
use crate::{MysqlOptions, OpenError, Store};

/// Opens with other options, and returns why that is refused.
fn refused(place: &Place, options: &MysqlOptions) -> String {
    let error = MysqlStore::open(&place.path(), options).unwrap_err();
    assert!(!error.is_damage(), "{error}");
    error.to_string()
}

fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
}

/// Makes an engine with one record and closes it.
fn filled(place: &Place) -> TablesId {
    let store = MysqlStore::open(&place.path(), &place.options()).unwrap();
    put(&store, &[(key("a"), record(1, 1, 10))]).unwrap();
    store.tables.id
}

#[test]
fn a_server_that_is_away_is_told_from_one_that_refuses() {
    let place = Place::new();
    let mut options = place.options();
    assert_eq!(options.access.away(), None);
    options.access.user = "nobody".into();
    assert_eq!(options.access.away(), None, "it answers");
    assert_says(&refused(&place, &options), &["Access denied", "GRANT ALL", "as nobody"]);
    let folder = tempfile::tempdir().unwrap();
    options.access.address = super::MysqlAddress::Socket(folder.path().join("none.sock"));
    assert_says(&options.access.away().unwrap(), &["no server answers at", "none.sock"]);
    assert!(!place.path().exists());
}

#[test]
fn a_wrong_password_and_a_missing_database_name_the_remedy() {
    let place = Place::new();
    sql_of(
        server(),
        "CREATE USER IF NOT EXISTS shut IDENTIFIED BY 'right'; GRANT ALL ON shop.* TO shut",
    );
    let file = place.folder.path().join("password");
    let mut options = place.options();
    options.access.user = "shut".into();
    options.access.password_file = Some(file.clone());
    assert_says(&refused(&place, &options), &["can't read the password in"]);
    fs::write(&file, "wrong\n").unwrap();
    assert_says(&refused(&place, &options), &["Access denied", "check the user and its password"]);
    fs::write(&file, "right\nand a second line\n").unwrap();
    drop(MysqlStore::open(&place.path(), &options).unwrap());
    let text = fs::read_to_string(place.path()).unwrap();
    assert!(text.contains("password_file") && !text.contains("right"), "{text}");

    let mut options = place.options();
    options.access.database = "nowhere".into();
    assert_says(&refused(&place, &options), &["Unknown database", "CREATE DATABASE"]);
}

#[test]
fn a_way_that_has_changed_is_written_down() {
    let place = Place::new();
    let id = filled(&place);
    sql_of(server(), "CREATE USER IF NOT EXISTS other; GRANT ALL ON shop.* TO other");
    let mut options = place.options();
    options.access.user = "other".into();
    drop(MysqlStore::open(&place.path(), &options).unwrap());
    let file = AccessFile::read(&place.path()).unwrap().unwrap();
    assert_eq!(file, AccessFile { tables: id, access: options.access });
}

#[test]
fn tables_that_are_gone_or_of_another_shard_or_a_newer_format_are_refused() {
    let place = Place::new();
    let id = filled(&place);
    let hints = format!("shop.jedlik_{id}_hints");
    sql_of(server(), &format!("RENAME TABLE {hints} TO {hints}_away"));
    assert_says(&refused(&place, &place.options()), &["is missing", "they refill the shard"]);
    sql_of(
        server(),
        &format!("RENAME TABLE {hints}_away TO {hints}; ALTER TABLE {hints} ENGINE = Aria"),
    );
    assert_says(&refused(&place, &place.options()), &["is kept by Aria", "ENGINE = InnoDB"]);
    sql_of(server(), &format!("ALTER TABLE {hints} ENGINE = InnoDB"));

    let mut conn = mysql::Conn::new(place.access.options().unwrap()).unwrap();
    let tables = super::Tables::of(id);
    tables.put(&mut conn, "o.tables", &7_u64.to_le_bytes()).unwrap();
    assert_says(&refused(&place, &place.options()), &["those of another shard"]);
    tables.put(&mut conn, "o.tables", &id.0.to_le_bytes()).unwrap();
    tables.put(&mut conn, "o.format", &3_u32.to_le_bytes()).unwrap();
    let error = MysqlStore::open(&place.path(), &place.options()).unwrap_err();
    assert!(matches!(error, OpenError::NewerFormat { found: 3, known: 2, .. }), "{error}");
    tables.put(&mut conn, "o.format", &2_u32.to_le_bytes()).unwrap();
    let store = MysqlStore::open(&place.path(), &place.options()).unwrap();
    assert!(store.load(&key("a")).unwrap().is_some());
}

#[test]
fn tables_in_use_are_refused_with_the_name_of_who_uses_them() {
    let place = Place::new();
    let first = MysqlStore::open(&place.path(), &place.options()).unwrap();
    let other = MysqlOptions { owner: "node n2".into(), ..place.options() };
    assert_says(&refused(&place, &other), &["in use by a test"]);
    put(&first, &[(key("a"), record(1, 1, 10))]).unwrap();

    // Its connection ends, another process takes the tables, and ends in its turn.
    place.disconnect();
    drop(MysqlStore::open(&place.path(), &other).unwrap());
    let error = put(&first, &[(key("a"), record(2, 1, 10))]).unwrap_err();
    assert_says(&error.to_string(), &["in use by node n2"]);
    assert!(!error.is_damage() && first.load(&key("a")).unwrap().is_some());
}

/// Returns a server of these tests' own, on which settings are changed; one test at a time.
fn changed() -> &'static PrivateServer {
    static SERVER: OnceLock<PrivateServer> = OnceLock::new();
    SERVER.get_or_init(|| {
        started(PrivateServer::start, &["--log-bin=bin", "--server-id=7", "--sync-binlog=1"])
    })
}

#[test]
fn settings_by_which_a_write_could_be_lost_or_would_not_fit_are_named() {
    let place = Place::on(changed());
    let (set, back) = ("SET GLOBAL", place.options());
    filled(&place);
    for (changes, restores, says) in [
        (
            "innodb_flush_log_at_trx_commit = 2",
            "innodb_flush_log_at_trx_commit = 1",
            ["innodb_flush_log_at_trx_commit = 2", "set innodb_flush_log_at_trx_commit = 1"],
        ),
        ("sync_binlog = 0", "sync_binlog = 1", ["sync_binlog = 0", "set sync_binlog = 1"]),
        (
            "max_allowed_packet = 16777216",
            "max_allowed_packet = 83886080",
            ["max_allowed_packet = 16777216", "set max_allowed_packet = 68157440 or more"],
        ),
    ] {
        sql_of(changed(), &format!("{set} {changes}"));
        assert_says(&refused(&place, &back), &says);
        sql_of(changed(), &format!("{set} {restores}"));
    }
    drop(MysqlStore::open(&place.path(), &back).unwrap());

    // A user who may do everything may also write to a server that takes no writes.
    sql_of(changed(), "CREATE USER plain; GRANT ALL ON shop.* TO plain; SET GLOBAL read_only = ON");
    let mut plain = back.clone();
    plain.access.user = "plain".into();
    assert_says(&refused(&place, &plain), &["read-only", "SET GLOBAL read_only = OFF"]);
    sql_of(changed(), "SET GLOBAL read_only = OFF");
    drop(MysqlStore::open(&place.path(), &plain).unwrap());

    changed().stop().unwrap();
    changed().start_again(&["--skip-innodb-doublewrite"]).unwrap();
    assert_says(
        &refused(&place, &back),
        &["innodb_doublewrite = OFF", "set innodb_doublewrite = ON"],
    );
}
