//! Probes on behalf of others: answered once, and bounded.

use super::*;

#[test]
fn an_answer_goes_once_to_the_one_who_asked() {
    let mut relays = Relays::default();
    relays.remember(NodeId(2), 70, NodeId(1), 10);
    assert_eq!(relays.answered(NodeId(3), 70), None, "another node's answer");
    assert_eq!(relays.answered(NodeId(2), 71), None, "an answer to something else");
    assert_eq!(relays.answered(NodeId(2), 70), Some((NodeId(1), 10)));
    assert_eq!(relays.answered(NodeId(2), 70), None);
}

#[test]
fn past_the_limit_the_oldest_is_forgotten() {
    let mut relays = Relays::default();
    (0..=RELAYS_MAX as u64).for_each(|nonce| relays.remember(NodeId(2), nonce, NodeId(1), nonce));
    assert_eq!(relays.answered(NodeId(2), 0), None);
    assert_eq!(relays.answered(NodeId(2), 1), Some((NodeId(1), 1)));
}
