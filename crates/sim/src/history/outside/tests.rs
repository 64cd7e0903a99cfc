//! One key's history as clients know it.

use jedlik_protocol::client::{GetAnswer, Version};
use jedlik_protocol::{ClusterId, Key};
use jedlik_vclock::Content;

use crate::history::{Acknowledged, History, Seen};
use crate::{Bits, Promise};

const TOLD: Acknowledged = Acknowledged { by_primaries: true, frail: false };

fn empty() -> History {
    History::new(ClusterId(1), vec![Key::new("carts", "alice").unwrap()])
}

/// Returns an answer that shows the versions with these tags.
fn showing(tags: &[u64]) -> GetAnswer {
    let version = |tag: &u64| {
        let content = Content::Value("tea".into());
        Version { content, tag: *tag, written_at_ms: 0, expires_at_ms: None }
    };
    let versions = tags.iter().map(version).collect();
    GetAnswer { versions, context: None, answered: 3, primaries: 3, partial: false }
}

fn check(history: &History, tags: &[u64]) -> Result<Seen, Promise> {
    let before = history.acknowledged(0, false);
    let checked = history.check_answer(0, &showing(tags), &before, (true, 0));
    checked.map_err(|breach| breach.promise)
}

#[test]
fn what_a_version_has_seen_follows_it_from_answer_to_answer() {
    let mut history = empty();
    let first = history.begin(false, Seen::default(), None);
    history.acknowledge(0, first, TOLD);
    assert_eq!(check(&history, &[]), Err(Promise::NextGet));
    history.hear(0, 11, first).unwrap();
    let seen = check(&history, &[11]).unwrap();
    let second = history.begin(false, seen, None);
    history.acknowledge(0, second, TOLD);
    history.hear(0, 22, second).unwrap();
    check(&history, &[22]).unwrap();
    assert_eq!(check(&history, &[11]), Err(Promise::NextGet));
    assert_eq!(check(&history, &[11, 22]), Err(Promise::NoAncestors));
}

#[test]
fn a_collected_delete_takes_along_what_it_had_seen_and_nothing_else() {
    let mut history = empty();
    for tag in [11, 22] {
        let write = history.begin(false, Seen::default(), None);
        history.acknowledge(0, write, TOLD);
        history.hear(0, tag, write).unwrap();
    }
    let before = Bits::default();
    let shown = history.check_answer(0, &showing(&[11]), &before, (true, 0)).unwrap();
    let delete = history.begin(true, shown, None);
    history.acknowledge(0, delete, TOLD);
    assert_eq!(check(&history, &[22]), Err(Promise::NextGet));
    history.collect_delete(0, delete);
    check(&history, &[22]).unwrap();
    assert_eq!(check(&history, &[]), Err(Promise::NextGet));
    assert_eq!(check(&history, &[11, 22]), Err(Promise::DeletedStaysDeleted));
}

#[test]
fn a_tag_stands_for_one_write() {
    let mut history = empty();
    let writes = [(); 2].map(|()| history.begin(false, Seen::default(), None));
    history.hear(0, 11, writes[0]).unwrap();
    history.hear(0, 11, writes[0]).unwrap();
    let breach = history.hear(0, 11, writes[1]).unwrap_err();
    assert_eq!(breach.promise, Promise::OneDotOneWrite);
    history.truncate(0);
}
