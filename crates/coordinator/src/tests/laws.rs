//! What holds in any order of events.

use alloc::vec::Vec;

use jedlik_protocol::Durability;
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};

use super::{ME, encoded, node, targets};
use crate::{Cause, Get, GetOutput, Needs, Put, PutOutput, ReadPlan, WritePlan};

#[derive(Debug, Clone, Copy)]
enum Event {
    Answer(usize, u64),
    Fail(usize),
    Tick(u64),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        (0..5usize, 0..3u64).prop_map(|(index, version)| Event::Answer(index, version)),
        (0..5usize).prop_map(Event::Fail),
        (1..400_000u64).prop_map(Event::Tick),
    ];
    proptest::collection::vec(event, 0..40)
}

fn levels() -> impl Strategy<Value = Durability> {
    prop_oneof![Just(Durability::Buffered), Just(Durability::Written), Just(Durability::Synced)]
}

proptest! {
    #[test]
    fn a_put_answers_once_and_success_only_with_its_quorum(
        events in events(), w in 1..=5u8, dw in 0..=5u8, durability in levels(),
    ) {
        let needs = Needs { answers: w, primaries: 0, synced: dw };
        let plan = WritePlan { me: ME, primaries: targets("abcde"), fallbacks: Vec::new(), needs, durability, hedge_after_us: 20_000, send_until_us: 1_000_000, deadline_us: 1_000_000 };
        let mut put = Put::new(0, &plan);
        let (mut now_us, mut answers) = (0, 0);
        let mut asked = [Durability::Buffered; 5];
        let mut acknowledged = [None; 5];
        for event in events.into_iter().chain([Event::Tick(2_000_000)]) {
            while let Some(output) = put.poll_output() {
                match output {
                    PutOutput::Write { node, durability } => asked[node.0 as usize - 1] = durability,
                    PutOutput::Hint { .. } | PutOutput::Hedged => {}
                    PutOutput::Answer(result) => {
                        answers += 1;
                        let have = acknowledged.iter().flatten().count();
                        let synced = acknowledged.iter().flatten().filter(|l| **l == Durability::Synced);
                        if result.is_ok() {
                            assert!(have >= usize::from(w) && synced.count() >= usize::from(dw));
                        }
                    }
                }
            }
            match event {
                Event::Answer(index, _) => {
                    put.handle_acknowledgement(now_us, node(char::from(b'a' + index as u8)), asked[index]);
                    acknowledged[index] = acknowledged[index].max(Some(asked[index]));
                }
                Event::Fail(index) => put.handle_failure(now_us, node(char::from(b'a' + index as u8)), Cause::Refused),
                Event::Tick(us) => {
                    now_us += us;
                    put.handle_timeout(now_us);
                }
            }
        }
        while let Some(output) = put.poll_output() {
            answers += u32::from(matches!(output, PutOutput::Answer(_)));
        }
        assert_eq!(answers, 1);
        assert!(put.is_done());
    }

    #[test]
    fn a_get_answers_once_and_success_only_with_its_quorum(
        events in events(), r in 1..=5u8, owner in any::<bool>(),
    ) {
        let plan = ReadPlan {
            me: if owner { ME } else { node('z') },
            primaries: targets("abcde"),
            fallbacks: Vec::new(),
            needs: Needs { answers: r, ..Needs::default() },
            hedge_after_us: 20_000,
            repair_until_us: 1_000_000,
            deadline_us: 1_000_000,
        };
        let mut get = Get::new(0, plan);
        let (mut now_us, mut answers) = (0, 0);
        let mut asked = [false; 5];
        let mut answered = [false; 5];
        for event in events.into_iter().chain([Event::Tick(1_500_000), Event::Tick(1_500_000)]) {
            while let Some(output) = get.poll_output() {
                match output {
                    GetOutput::ReadLocal => asked[0] = true,
                    GetOutput::Read { node, .. } => asked[node.0 as usize - 1] = true,
                    GetOutput::Answer(result) => {
                        answers += 1;
                        let have = answered.iter().filter(|answered| **answered).count();
                        assert!(result.is_err() || have >= usize::from(r));
                    }
                    GetOutput::Repair { node, .. } => assert!(answered[node.0 as usize - 1]),
                    GetOutput::Hedged => {}
                }
            }
            match event {
                Event::Answer(index, version) => {
                    let record = (version > 0).then(|| encoded(version, "x"));
                    get.handle_record(now_us, node(char::from(b'a' + index as u8)), record);
                    answered[index] |= asked[index];
                }
                Event::Fail(index) => get.handle_failure(now_us, node(char::from(b'a' + index as u8))),
                Event::Tick(us) => {
                    now_us += us;
                    get.handle_timeout(now_us);
                }
            }
        }
        while let Some(output) = get.poll_output() {
            answers += u32::from(matches!(output, GetOutput::Answer(_)));
        }
        assert_eq!(answers, 1);
        assert!(get.is_done());
    }
}
