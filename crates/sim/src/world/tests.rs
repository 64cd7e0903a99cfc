//! Messages and their receivers.

use jedlik_protocol::codec::Frame;
use jedlik_protocol::gossip::Gossip;
use jedlik_protocol::peer::PeerRequest;
use jedlik_protocol::{ActiveLayouts, Terms};

use super::{Event, World};
use crate::Plan;
use crate::node::{Mail, SPOKEN};

/// Message that n2 sends to n1, as a function of the world.
type Asks = fn(&World) -> Frame;

fn reads(world: &World) -> Frame {
    let key = world.history.key(0).clone();
    let request = PeerRequest::Read { key, known: None, n: 3 };
    let view = world.nodes[1].running.as_ref().unwrap().membership.view();
    let life = view.life(view.me()).unwrap().incarnation;
    let terms = Terms { life, layouts: ActiveLayouts::default(), receiver_clock: 0, trace: None };
    Frame::PeerRequest { id: 1, terms, request }
}

fn asks_what_is_remembered(world: &World) -> Frame {
    let view = world.nodes[1].running.as_ref().unwrap().membership.view();
    Frame::Gossip(Gossip::Recall(Box::new(view.member(view.me()).unwrap().clone())))
}

/// Counts n1's answers to n2, which asked while n1 stood still, and whose process may have ended meanwhile.
fn answers(asks: Asks, ended: bool) -> usize {
    let mut world = World::new(Plan::of(1, 5), false);
    (0..2).for_each(|node| world.start(node));
    world.nodes[0].pauses = 1;
    let (from, epoch) = (1, world.network.epoch(0, 1));
    let bytes = asks(&world).encode(SPOKEN).into_vec().into();
    world.deliver(0, Mail::Frame { from, epoch, bytes });
    if ended {
        world.end(from, false, false);
        world.start(from);
    }
    world.queue.clear();
    world.nodes[0].pauses = 0;
    world.resume(0);
    assert_eq!(world.breach, None);
    let is_answer = |event: &&Event| {
        let Event::Frame { from: 0, to: 1, bytes, .. } = event else { return false };
        let frame = Frame::decode(bytes, SPOKEN).unwrap();
        matches!(frame, Frame::PeerResponse { .. } | Frame::Gossip(Gossip::Recalled { .. }))
    };
    world.queue.values().filter(is_answer).count()
}

#[test]
fn an_answer_goes_by_the_connection_of_its_question_and_never_to_a_later_life() {
    for asks in [reads as Asks, asks_what_is_remembered] {
        assert_eq!(answers(asks, false), 1);
        assert_eq!(answers(asks, true), 0);
    }
}
