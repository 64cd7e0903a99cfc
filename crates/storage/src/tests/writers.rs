//! Two threads that write at a time, and who reads meanwhile.

use std::io;
use std::path::Path;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use crate::fixtures::{key, record};
use crate::{RedbOptions, RedbStore, Store, Writes};

const LONG: Duration = Duration::from_secs(60);

/// File whose syncs don't come to their end on some threads.
#[derive(Debug)]
struct Held {
    within: InMemoryBackend,
    gate: Arc<Gate>,
    begun: Sender<()>,
}

#[derive(Debug, Default)]
struct Gate {
    /// Names of the threads whose syncs are held up.
    held: Mutex<Vec<&'static str>>,
    changed: Condvar,
}

impl Gate {
    fn hold(&self, threads: Vec<&'static str>) {
        *self.held.lock().unwrap() = threads;
        self.changed.notify_all();
    }
}

impl StorageBackend for Held {
    fn len(&self) -> io::Result<u64> {
        self.within.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.within.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.within.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let _ = self.begun.send(());
        let me = thread::current();
        let held = self.gate.held.lock().unwrap();
        let held = self
            .gate
            .changed
            .wait_while(held, |held| held.iter().any(|name| Some(*name) == me.name()));
        drop(held.unwrap());
        self.within.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.within.write(offset, data)
    }
}

#[test]
fn a_commit_that_waits_for_another_one_and_then_for_the_disk_holds_up_nobody_who_reads() {
    let gate = Arc::new(Gate::default());
    let (begun, begins) = channel();
    let opener = {
        let gate = Arc::clone(&gate);
        move || Held {
            within: InMemoryBackend::new(),
            gate: Arc::clone(&gate),
            begun: begun.clone(),
        }
    };
    let options = RedbOptions::default();
    let store =
        Arc::new(RedbStore::open_backend(Path::new("records.redb"), &options, opener).unwrap());
    while begins.try_recv().is_ok() {}
    gate.hold(vec!["first", "second"]);
    let (done, is_done) = channel();
    let write = |name: &'static str| {
        let (store, done) = (Arc::clone(&store), done.clone());
        let records = vec![(key(name), Some(record(1, 1, 10)))];
        let written = move || {
            let written = store.write(&Writes { records, ..Writes::default() });
            done.send((name, written.is_ok())).expect("the test waits");
        };
        thread::Builder::new().name(name.into()).spawn(written).unwrap()
    };
    let first = write("first");
    begins.recv_timeout(LONG).expect("the first one waits for the disk");
    let second = write("second");
    // It comes as far as it can meanwhile: were it slower, nothing would be amiss.
    assert!(is_done.recv_timeout(Duration::from_millis(50)).is_err(), "the disk finishes nothing");
    gate.hold(vec!["second"]);
    let loads = |name: &'static str| {
        let (store, (loaded, is_loaded)) = (Arc::clone(&store), channel());
        thread::spawn(move || loaded.send(store.load(&key(name)).unwrap().is_some()));
        is_loaded.recv_timeout(LONG)
    };
    let ended = is_done.recv_timeout(LONG);
    let loaded = loads("first");
    gate.hold(Vec::new());
    assert_eq!(ended, Ok(("first", true)), "who is done waits for nobody");
    assert_eq!(loaded, Ok(true), "a load waits for nobody");
    assert_eq!(is_done.recv_timeout(LONG), Ok(("second", true)));
    assert_eq!(loads("second"), Ok(true));
    for thread in [first, second] {
        thread.join().unwrap();
    }
}
