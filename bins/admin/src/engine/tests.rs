//! Reports of migrations, and the exit codes of mistakes.

use std::path::PathBuf;

use jedlik_hashing::{NodeId, PartitionCount};
use jedlik_protocol::{ClusterId, Incarnation};
use jedlik_storage::{ContentsDigest, DataDir, Identity, Migrated, MigratedShard};

use super::{EngineCommand, MysqlFlags, run, to_json, to_text};
use crate::exit::code;
use crate::output::Output;

fn migrated() -> Migrated {
    let shard = |shard, records| MigratedShard {
        shard,
        digest: ContentsDigest {
            records,
            hints: 0,
            sum: 0xfeed_0000_0000_0000_0000_0000_0000_0001,
        },
        before_bytes: 37 << 20,
        after_bytes: 13 << 20,
    };
    Migrated { from: "redb", to: "lsm", shards: vec![shard(0, 10_000), shard(1, 9)], left: vec![] }
}

#[test]
fn the_report_says_what_was_copied_and_what_comes_next() {
    insta::assert_snapshot!(to_text(&migrated()), @r#"
    SHARD  RECORDS  HINTS    BEFORE     AFTER  DIGEST
        0    10000      0  37.0 MiB  13.0 MiB  feed0000000000000000000000000001
        1        9      0  37.0 MiB  13.0 MiB  feed0000000000000000000000000001

    The node's engine is lsm now, not redb: 10009 records were copied and compared.
    Next: set engine = "lsm" in the node's configuration, and start it.
    "#);
    insta::assert_snapshot!(to_json(&migrated())["shards"][1], @r#"{"after_bytes":13631488,"before_bytes":38797312,"digest":"feed0000000000000000000000000001","hints":0,"records":9,"shard":1}"#);
}

#[test]
fn a_mistake_is_told_with_the_code_for_usage() {
    let place = tempfile::tempdir().unwrap();
    let migrate = |data_dir: PathBuf, to: &str| {
        let mysql = MysqlFlags::default();
        run(EngineCommand::Migrate { data_dir, to: to.into(), mysql }, Output { json: true })
    };
    let data = place.path().join("data");
    let error = migrate(data.clone(), "lsm").unwrap_err();
    assert_eq!(code(&error), 2);
    assert!(error.to_string().ends_with("is not a data directory: it has no node.toml"), "{error}");

    let identity = Identity {
        cluster: ClusterId(1),
        node: NodeId(2),
        shards: 1,
        engine: "redb".into(),
        partitions: PartitionCount::DEFAULT,
    };
    let running = DataDir::open(&data, &identity, Incarnation(3)).unwrap();
    for (to, text) in [
        ("lsm", "is in use: stop its node first"),
        ("memory", "migration is to one of redb, lsm, mysql"),
        ("mysql", "--to mysql takes --mysql-socket PATH, or --mysql-host for a server without one"),
    ] {
        let error = migrate(data.clone(), to).unwrap_err();
        assert_eq!(code(&error), 2, "{error}");
        assert!(error.to_string().ends_with(text), "{error}");
    }
    drop(running);
    let error = migrate(data.clone(), "redb").unwrap_err();
    assert_eq!(code(&error), 2, "{error}");
    migrate(data.clone(), "lsm").unwrap();
    migrate(data, "redb").unwrap();
}
