//! What is kept over clean stops, and only over those.

use super::{Bench, Running};
use crate::faulty::{Crash, Machine};
use crate::fixtures::{key, record};
use crate::tests::Engine;

fn take(running: &mut Running, name: &str) -> Option<Vec<u8>> {
    running.shard.take_metadata(name).unwrap()
}

#[test]
fn a_clean_stop_keeps_metadata_until_it_is_taken() {
    let bench = Bench::new();
    let mut running = bench.open();
    assert_eq!(take(&mut running, "trees"), None);
    running.put("a", record(1, 1, 10)).unwrap();
    running.shard.close_with(&[("trees", b"leaves"), ("other", b"")]).unwrap();
    let mut running = bench.open();
    assert_eq!(take(&mut running, "trees"), Some(b"leaves".to_vec()));
    assert_eq!(take(&mut running, "trees"), None);
    assert_eq!(take(&mut running, "other"), Some(Vec::new()));
    drop(running);
    assert_eq!(take(&mut bench.open(), "trees"), None, "the stop was not clean");
}

#[test]
fn a_stop_without_any_change_keeps_metadata_too() {
    let bench = Bench::new();
    bench.open().shard.close_with(&[("trees", b"none")]).unwrap();
    let mut running = bench.open();
    assert_eq!(take(&mut running, "trees"), Some(b"none".to_vec()));
    running.shard.close_with(&[("trees", b"still none")]).unwrap();
    assert_eq!(take(&mut bench.open(), "trees"), Some(b"still none".to_vec()));
}

#[test]
fn metadata_that_nobody_took_is_no_more_than_what_the_engine_has_become() {
    for clean in [true, false] {
        let bench = Bench::new();
        bench.open().shard.close_with(&[("trees", b"of nothing")]).unwrap();
        let mut running = bench.open();
        running.put("a", record(1, 1, 10)).unwrap();
        if clean {
            running.shard.close().unwrap();
        } else {
            drop(running);
        }
        assert_eq!(take(&mut bench.open(), "trees"), None);
    }
}

#[test]
fn metadata_survives_a_power_cut_after_the_stop_and_being_taken_does_too() {
    let mut bench = Bench::new();
    let mut engine = Engine::redb(&bench.machine);
    bench.engine = engine.open().unwrap();
    let mut running = bench.open();
    running.put("a", record(1, 1, 10)).unwrap();
    running.shard.close_with(&[("trees", b"leaves")]).unwrap();
    for (seed, expected) in [(2, Some(b"leaves".to_vec())), (3, None)] {
        let machine = Machine::new(seed);
        bench.disk = bench.disk.after(Crash::Power, &machine);
        engine = engine.after(Crash::Power, &machine);
        bench.engine = engine.open().unwrap();
        let mut running = bench.open();
        assert_eq!(take(&mut running, "trees"), expected);
        assert!(running.shard.load(&key("a")).unwrap().is_some());
    }
}
