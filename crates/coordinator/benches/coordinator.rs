//! Benchmarks of the request machines: one put and one get with N = 3 and W = R = 2, from the plan to the last effect.
//!
//! Invariant: each run plays all replicas' answers and ends with the machine done and successful.

use divan::{Bencher, black_box};
use jedlik_coordinator::{
    JointGet, JointGetOutput, JointPut, JointPutOutput, ListedNode, Needs, ReadPlan, WritePlan,
};
use jedlik_hashing::NodeId;
use jedlik_protocol::{Durability, EncodedRecord, Record};
use jedlik_vclock::{ActorId, Content, Write, WriteId};

const ME: NodeId = NodeId(1);
const NEEDS: Needs = Needs { answers: 2, primaries: 0, synced: 0 };
const VALUE_BYTES: usize = 1 << 10;

fn main() {
    divan::main();
}

fn listed(nodes: std::ops::RangeInclusive<u64>) -> Vec<ListedNode> {
    nodes.map(|node| ListedNode { node: NodeId(node), alive: true }).collect()
}

fn write_plan() -> WritePlan {
    WritePlan {
        me: ME,
        primaries: listed(1..=3),
        fallbacks: listed(4..=6),
        needs: NEEDS,
        durability: Durability::Synced,
        hedge_after_us: 40_000,
        send_until_us: 8_000_000,
        deadline_us: 5_000_000,
    }
}

fn read_plan() -> ReadPlan {
    ReadPlan {
        me: ME,
        primaries: listed(1..=3),
        fallbacks: listed(4..=6),
        filling: Vec::new(),
        compares_all: false,
        needs: NEEDS,
        hedge_after_us: 10_000,
        silent_after_us: 20_000,
        repair_until_us: 800_000,
        deadline_us: 5_000_000,
    }
}

/// Makes the record of a key after that many puts, each of which saw the one before.
fn record(puts: u64) -> EncodedRecord {
    let mut record = Record::new();
    for number in 1..=puts {
        let context = record.clock().clone();
        let write = Write {
            write_id: WriteId(u128::from(number)),
            written_at_ms: number,
            expires_at_ms: None,
            content: Content::Value(vec![b'v'; VALUE_BYTES].into()),
        };
        record.put(&context, ActorId(number), write);
    }
    EncodedRecord::encode(&record)
}

/// Plays one put to which every replica says yes.
fn run_put(plans: &[WritePlan]) {
    let mut put = JointPut::new(0, plans);
    let mut succeeded = false;
    while let Some(output) = put.poll_output() {
        match output {
            JointPutOutput::Write { request, durability, .. }
            | JointPutOutput::Hint { request, durability, .. } => {
                put.handle_acknowledgement(1, request, durability);
            }
            JointPutOutput::Answer(result) => succeeded = result.is_ok(),
            JointPutOutput::Hedged => {}
        }
    }
    assert!(succeeded && put.is_done());
}

/// Plays one get to which this node answers with `ours` and every other replica with `theirs`, and returns the number
/// of repairs that it sent.
fn run_get(plans: &[ReadPlan], ours: &EncodedRecord, theirs: &EncodedRecord) -> usize {
    let their_digest = theirs.digest();
    let mut get = JointGet::new(0, plans);
    let (mut succeeded, mut repairs) = (false, 0);
    while let Some(output) = get.poll_output() {
        match output {
            JointGetOutput::ReadLocal { request } => {
                get.handle_record(1, request, Some(ours.clone()));
            }
            JointGetOutput::Read { request, known, .. } if known == Some(their_digest) => {
                get.handle_same(1, request);
            }
            JointGetOutput::Read { request, .. } => {
                get.handle_record(1, request, Some(theirs.clone()));
            }
            JointGetOutput::Answer(result) => succeeded = matches!(result, Ok(Some(_))),
            JointGetOutput::Repair { .. } => repairs += 1,
            JointGetOutput::Hedged => {}
        }
    }
    assert!(succeeded && get.is_done());
    repairs
}

#[divan::bench]
fn put_that_all_replicas_take(bencher: Bencher) {
    let plans = [write_plan()];
    bencher.bench(|| run_put(black_box(&plans)));
}

#[divan::bench]
fn get_from_equal_replicas(bencher: Bencher) {
    let (plans, held) = ([read_plan()], record(3));
    assert_eq!(run_get(&plans, &held, &held), 0);
    bencher.bench(|| run_get(black_box(&plans), &held, &held));
}

#[divan::bench]
fn get_that_finds_this_node_behind(bencher: Bencher) {
    let (plans, ours, theirs) = ([read_plan()], record(3), record(4));
    assert_eq!(run_get(&plans, &ours, &theirs), 1);
    bencher.bench(|| run_get(black_box(&plans), &ours, &theirs));
}
