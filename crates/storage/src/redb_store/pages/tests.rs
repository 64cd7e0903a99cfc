//! Pages against a flat file, and against bytes that change below them.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{io, thread};

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{collection, proptest};
use redb::StorageBackend;

use super::{GROUP_PAGES, HEADER_BYTES, PAGE_BYTES, Pages, place_of};

/// File in memory, which clones share.
#[derive(Debug, Clone, Default)]
struct Flat(Arc<Mutex<Vec<u8>>>);

impl StorageBackend for Flat {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.lock().unwrap();
        let there = bytes.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut bytes = self.0.lock().unwrap();
        bytes[offset as usize..offset as usize + data.len()].copy_from_slice(data);
        Ok(())
    }
}

const PAGE: u64 = PAGE_BYTES as u64;

fn page_of(byte: u8) -> Vec<u8> {
    (0..PAGE_BYTES).map(|at| byte.wrapping_add(at as u8)).collect()
}

/// Writes a header and so many pages, synced.
fn written(pages: u64) -> Flat {
    let file = Flat::default();
    let over = Pages::over(file.clone()).unwrap();
    over.set_len((pages + 1) * PAGE).unwrap();
    over.write(0, &[7; 320]).unwrap();
    for page in 1..=pages {
        over.write(page * PAGE, &page_of(page as u8)).unwrap();
    }
    over.sync_data().unwrap();
    file
}

/// Reads the header and so many pages; `None` for each that can't be read.
fn read(file: &Flat, pages: u64) -> Vec<Option<Vec<u8>>> {
    let over = Pages::over(file.clone()).unwrap();
    let mut header = vec![0; 320];
    let header = over.read(0, &mut header).ok().map(|()| header);
    let rest = (1..=pages).map(|page| {
        let mut bytes = vec![0; PAGE_BYTES];
        over.read(page * PAGE, &mut bytes).ok().map(|()| bytes)
    });
    [header].into_iter().chain(rest).collect()
}

#[test]
fn no_byte_that_changed_is_read() {
    let file = written(3);
    let whole = read(&file, 3);
    assert!(whole.iter().all(Option::is_some));
    let length = file.len().unwrap() as usize;
    assert_eq!(length, 5 * PAGE_BYTES);
    let mut noticed = 0;
    for at in 0..length {
        file.0.lock().unwrap()[at] ^= 1 << (at % 8);
        for (now, then) in read(&file, 3).iter().zip(&whole) {
            assert!(now.is_none() || now == then, "byte {at}");
            noticed += usize::from(now.is_none());
        }
        file.0.lock().unwrap()[at] ^= 1 << (at % 8);
    }
    // The header with its checksum, the other pages, and their checksums; that of group 0 begins with its magic.
    let expected = 512 + 3 * PAGE_BYTES + 3 * 4 + 4 * 3;
    assert_eq!(noticed, expected);
    assert_eq!(read(&file, 3), whole);
}

#[test]
fn a_page_of_another_place_or_of_another_time_is_not_read() {
    let file = written(3);
    let bytes = file.0.lock().unwrap().clone();
    let place = |page| place_of(page) as usize..place_of(page) as usize + PAGE_BYTES;
    file.0.lock().unwrap()[place(2)].copy_from_slice(&bytes[place(1)]);
    assert_eq!(
        read(&file, 3).iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, true, false, true]
    );

    let file = written(3);
    let over = Pages::over(file.clone()).unwrap();
    over.write(2 * PAGE, &page_of(99)).unwrap();
    over.sync_data().unwrap();
    assert_eq!(read(&file, 3)[2], Some(page_of(99)));
    file.0.lock().unwrap()[place(2)].copy_from_slice(&bytes[place(2)]);
    assert_eq!(read(&file, 3)[2], None);
}

#[test]
fn a_file_that_is_opened_again_can_be_cut_to_any_length_and_grow_anew() {
    let most = 2 * GROUP_PAGES + 5;
    for left in [1, 4, GROUP_PAGES - 1, GROUP_PAGES, GROUP_PAGES + 1, 2 * GROUP_PAGES, most] {
        let file = written(most);
        let over = Pages::over(file.clone()).unwrap();
        over.set_len(left * PAGE).unwrap_or_else(|error| panic!("to {left} pages: {error}"));
        assert_eq!(over.len().unwrap(), left * PAGE);
        over.set_len((most + 1) * PAGE).unwrap();
        over.sync_data().unwrap();
        let pages = read(&file, most);
        for page in 0..=most {
            let kept = if page < left { page_of(page as u8) } else { vec![0; PAGE_BYTES] };
            let is_right = page == 0 || pages[page as usize].as_ref() == Some(&kept);
            assert!(is_right, "page {page} of a file that was cut to {left}");
        }
    }
}

#[test]
fn pages_that_were_cut_off_and_are_there_again_have_zeros() {
    let file = written(5);
    let over = Pages::over(file.clone()).unwrap();
    over.set_len(3 * PAGE).unwrap();
    over.set_len(6 * PAGE).unwrap();
    // As after a crash: what was cut off still has its checksums in the file.
    for over in [over, Pages::over(file.clone()).unwrap()] {
        let mut bytes = vec![1; PAGE_BYTES];
        over.read(2 * PAGE, &mut bytes).unwrap();
        assert_eq!(bytes, page_of(2));
        if over.groups().read.values().any(|group| group.changed) {
            over.read(4 * PAGE, &mut bytes).unwrap();
            assert!(bytes.iter().all(|byte| *byte == 0));
        }
    }
}

#[test]
fn what_is_no_whole_page_is_refused() {
    let over = Pages::over(written(3)).unwrap();
    let mut some = vec![0; 100];
    assert!(over.read(PAGE, &mut some).is_err() && over.write(PAGE + 1, &page_of(1)).is_err());
    assert!(over.write(0, &vec![0; HEADER_BYTES + 1]).is_err());
    let mut past = vec![0; PAGE_BYTES];
    assert!(over.read(4 * PAGE, &mut past).is_err());
}

/// File whose changes don't come to their end until they are let go. Clones share it.
#[derive(Debug, Clone)]
struct Held {
    within: Flat,
    begun: Sender<()>,
    /// Channel on which nothing is sent: it is closed to let changes go.
    let_go: Arc<Mutex<Receiver<()>>>,
}

impl Held {
    fn wait(&self) {
        let _ = self.begun.send(());
        let _closed = self.let_go.lock().unwrap().recv();
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
        self.wait();
        self.within.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.wait();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.wait();
        self.within.write(offset, data)
    }
}

#[test]
fn who_reads_waits_for_no_change_of_the_file() {
    type PageChange = fn(&Pages<Held>) -> io::Result<()>;
    let changes: [PageChange; 4] = [
        |over| over.write(2 * PAGE, &page_of(99)),
        |over| over.set_len(6 * PAGE),
        |over| over.set_len(3 * PAGE),
        |over| {
            // As a commit leaves it to the sync.
            over.groups().of(&over.file, 0)?.changed = true;
            over.sync_data()
        },
    ];
    for change in changes {
        let ((begun, begins), (letting_go, let_go)) = (channel(), channel());
        let let_go = Arc::new(Mutex::new(let_go));
        let over = Arc::new(Pages::over(Held { within: written(3), begun, let_go }).unwrap());
        let changed = thread::spawn({
            let over = Arc::clone(&over);
            move || change(&over)
        });
        begins.recv().expect("it begins");
        let (answer, read) = channel();
        thread::spawn(move || {
            let mut bytes = vec![0; PAGE_BYTES];
            let read = over.read(PAGE, &mut bytes).map(|()| bytes);
            // Who asked may have given up.
            let _ = answer.send(read.and_then(|bytes| over.len().map(|_| bytes)));
        });
        let read = read.recv_timeout(Duration::from_secs(60));
        drop(letting_go);
        assert_eq!(read.expect("it does not wait").unwrap(), page_of(1));
        changed.join().unwrap().unwrap();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Resize(u64),
    Write(u64, u64, u8),
    Header(u8),
    Sync,
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Around where the second group begins.
    let page = || prop_oneof![1..4_u64, GROUP_PAGES - 3..GROUP_PAGES + 3];
    let step = prop_oneof![
        2 => prop_oneof![2..5_u64, GROUP_PAGES - 2..GROUP_PAGES + 8].prop_map(Step::Resize),
        6 => (page(), 1..6_u64, any::<u8>()).prop_map(|(at, count, byte)| Step::Write(at, count, byte)),
        2 => any::<u8>().prop_map(Step::Header),
        2 => Just(Step::Sync),
        1 => Just(Step::Reopen),
    ];
    collection::vec(step, 1..30)
}

proptest! {
    #![proptest_config(proptest::test_runner::Config {
        cases: 64, failure_persistence: None, ..Default::default()
    })]

    #[test]
    fn they_hold_what_a_flat_file_holds(steps in steps()) {
        let file = Flat::default();
        let mut over = Pages::over(file.clone()).unwrap();
        let mut model = vec![0_u8; PAGE_BYTES];
        over.set_len(PAGE).unwrap();
        for step in steps {
            match step {
                Step::Resize(pages) => {
                    over.set_len(pages * PAGE).unwrap();
                    model.resize((pages * PAGE) as usize, 0);
                }
                Step::Write(at, count, byte) => {
                    let start = (at * PAGE) as usize;
                    let bytes: Vec<u8> = (0..count).flat_map(|page| page_of(byte ^ page as u8)).collect();
                    if start + bytes.len() <= model.len() {
                        over.write(at * PAGE, &bytes).unwrap();
                        model[start..start + bytes.len()].copy_from_slice(&bytes);
                    }
                }
                Step::Header(byte) => {
                    over.write(0, &[byte; 320]).unwrap();
                    model[..320].fill(byte);
                }
                Step::Sync => over.sync_data().unwrap(),
                Step::Reopen => {
                    over.sync_data().unwrap();
                    over = Pages::over(file.clone()).unwrap();
                }
            }
            assert_eq!(over.len().unwrap(), model.len() as u64);
            let mut header = [0; 320];
            over.read(0, &mut header).unwrap();
            assert_eq!(header, model[..320]);
            let mut rest = vec![0; model.len() - PAGE_BYTES];
            if !rest.is_empty() {
                over.read(PAGE, &mut rest).unwrap();
                assert!(rest == model[PAGE_BYTES..]);
            }
        }
    }
}
