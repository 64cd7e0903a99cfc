//! An outage: once faults have ceased, nodes are taken away until hardly enough are left, and every request through
//! those must still succeed (paper 4.6: always writeable).
//!
//! Invariant: only the absence of nodes is wrong, and the others know of it.

use bytes::Bytes;
use jedlik_membership::{Past, View};
use jedlik_protocol::client::{ClientRequest, ClientResponse, GetRequest, PutRequest};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::ErrorCode;
use jedlik_protocol::{Durability, Quorum};
use jedlik_vclock::Content;

use crate::bits::Bits;
use crate::breach::{Breach, Promise};
use crate::chance::Chance;
use crate::history::{Acknowledged, Seen, write_id};
use crate::node::{SPOKEN, id};
use crate::plan::Setting;
use crate::world::{Event, World};

/// Time in which nodes must notice that another one is away, or back.
const NOTICE_LIMIT_US: u64 = 60_000_000;
/// Additional time for moves, and for the refill of nodes that have lost data.
const MOVE_LIMIT_US: u64 = 180_000_000;
const LOOK_US: u64 = 100_000;
/// Timeout of a request, in milliseconds.
const TIMEOUT_MS: u32 = 5_000;
/// Time in which the answer to a request must come.
const ANSWER_LIMIT_US: u64 = 6_000_000;
/// Number of requests, every other one a put.
const REQUESTS: u8 = 6;

/// Nodes that an outage takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutageScope {
    /// Two of the first three of the key's preference list: all but the one at this place.
    TwoPrimaries(u8),
    /// All nodes but this one.
    AllBut(u8),
    /// All nodes of a zone.
    Zone(u8),
}

/// Outage after the faults of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// Number of the key that is requested.
    pub key: u8,
    /// Nodes that are away.
    pub away: OutageScope,
    /// Whether the nodes stand still; otherwise their processes have ended.
    pub still: bool,
}

impl Outage {
    /// Draws an outage for a part of the seeds, if the cluster is large enough.
    pub(crate) fn of(setting: &Setting, chance: &mut Chance) -> Option<Self> {
        let key = chance.below(setting.keys.into()) as u8;
        let few = setting.of_key(key).most_n() <= 3;
        let outage = chance.permille(500) && setting.nodes >= 5 && few;
        let away = if setting.zones == 3 && chance.permille(500) {
            OutageScope::Zone(chance.below(3) as u8)
        } else if chance.permille(300) {
            OutageScope::AllBut(chance.below(setting.nodes.into()) as u8)
        } else {
            OutageScope::TwoPrimaries(chance.below(3) as u8)
        };
        // The end of a process must destroy no acknowledged write.
        let still = setting.level() == Durability::Buffered || chance.permille(400);
        outage.then_some(Self { key, away, still })
    }
}

/// Progress of an outage.
#[derive(Debug, Default)]
pub(crate) struct OutageState {
    stage: OutageStage,
    since_us: u64,
    away: Vec<u8>,
    /// Writes that were acknowledged during the outage.
    writes: Bits,
}

#[derive(Debug, Default, Clone, Copy)]
enum OutageStage {
    /// Time in which all nodes find one another.
    #[default]
    Gathering,
    /// Time in which the nodes that are left notice the absence of the others.
    Noticing,
    /// Time of a request, which follows `number` others.
    Asking { number: u8, call: u64, write: Option<usize> },
    /// End of the outage; the nodes are back.
    Lifted,
}

impl World {
    /// Checks the outage's progress, and takes the next step if it is due.
    pub(crate) fn step_outage(&mut self) {
        let Some(outage) = self.plan.outage else { return self.lift() };
        let moves = !self.plan.changes.is_empty() || self.damage.destroyed;
        let moving_us = if moves { MOVE_LIMIT_US } else { 0 };
        let late = self.now_us > self.convergence.outage.since_us + NOTICE_LIMIT_US + moving_us;
        match self.convergence.outage.stage {
            OutageStage::Gathering => {
                if self.convergence.outage.since_us == 0 {
                    self.convergence.outage.since_us = self.now_us;
                } else if let Some(what) = self.is_unprepared() {
                    if late {
                        return self.fail_outage(outage, what);
                    }
                } else {
                    return self.strike(outage);
                }
            }
            OutageStage::Noticing => match self.blind() {
                None => return self.demand(outage, 0),
                Some(what) if late => return self.fail_outage(outage, what),
                Some(_) => {}
            },
            OutageStage::Asking { .. } => {
                if self.now_us > self.convergence.outage.since_us + ANSWER_LIMIT_US {
                    return self.fail_outage(outage, "a request is not answered".into());
                }
            }
            OutageStage::Lifted => return,
        }
        self.after(LOOK_US, Event::Outage);
    }

    fn fail_outage(&mut self, outage: Outage, what: String) {
        self.breach.get_or_insert(Breach::new(Promise::AlwaysWriteable, outage.key, what));
    }

    /// Returns what is not yet as it should be before the outage, if anything. A disk that was slow still finishes what
    /// it began then.
    fn is_unprepared(&mut self) -> Option<String> {
        let stuck =
            self.present().into_iter().find(|node| self.nodes[usize::from(*node)].disk.is_stuck());
        let stuck = stuck.map(|node| format!("the disk of n{} is still slow", node + 1));
        let disagreement = self.disagreement().map(|breach| breach.to_string());
        disagreement
            .or_else(|| self.blind())
            .or(stuck)
            .or_else(|| self.without_past())
            .or_else(|| self.unfilled().map(|breach| breach.to_string()))
    }

    /// Names a node that has started and has yet to hear what the others remember of it.
    fn without_past(&mut self) -> Option<String> {
        let asks = |view: &View| view.past() == Past::Unconfirmed;
        let mut present = self.present().into_iter();
        present.find_map(|node| {
            let view = self.running(node)?.membership.view();
            asks(&view).then(|| format!("n{} does not know what it has lost", node + 1))
        })
    }

    /// Names a node that is left and takes another one wrongly for up or away, if there is one.
    fn blind(&mut self) -> Option<String> {
        let nodes = self.present().into_iter();
        let away = self.convergence.outage.away.clone();
        let setting = self.plan.setting.clone();
        for node in nodes.clone().filter(|node| !away.contains(node)) {
            let Some(running) = self.running(node).filter(|running| !running.stopping) else {
                return Some(format!("n{} is not up", node + 1));
            };
            let view = running.membership.view();
            let wrong = |peer: &u8| {
                let alive = view.is_alive(id(setting.identity(*peer)));
                *peer != node && alive == away.contains(peer)
            };
            if let Some(peer) = nodes.clone().find(wrong) {
                return Some(format!("n{} does not see how n{} is", node + 1, peer + 1));
            }
        }
        None
    }

    /// Takes the nodes of the outage away.
    fn strike(&mut self, outage: Outage) {
        self.find_owners();
        let present = self.present();
        let away: Vec<u8> = match outage.away {
            OutageScope::TwoPrimaries(place) => {
                let mut primaries = self.convergence.owners(outage.key).to_vec();
                primaries.remove(usize::from(place) % primaries.len());
                primaries
            }
            OutageScope::AllBut(node) => {
                let spared = if present.contains(&node) { node } else { present[0] };
                present.iter().copied().filter(|other| *other != spared).collect()
            }
            OutageScope::Zone(zone) => {
                let setting = &self.plan.setting;
                present.iter().copied().filter(|node| setting.zone(*node) == zone).collect()
            }
        };
        // Nodes that have yet to join, or never will, store nothing for others.
        let Some(view) = self.newest_view() else { return self.lift() };
        let is_placed = |node: &u8| view.layout().is_some_and(|l| l.ring.node(id(*node)).is_some());
        let left = present.iter().filter(|node| !away.contains(node) && is_placed(node)).count();
        if left < 3 && !matches!(outage.away, OutageScope::AllBut(_)) {
            // Too few nodes have stayed in the cluster.
            return self.lift();
        }
        self.convergence.outage.away = away;
        let away = self.convergence.outage.away.clone();
        self.log.say(self.now_us, None, Some(outage.key), || {
            let away: Vec<String> = away.iter().map(|node| format!("n{}", node + 1)).collect();
            format!("SIEGE: {} are away, {left} others are not", away.join(" "))
        });
        for node in away {
            if outage.still {
                self.nodes[usize::from(node)].pauses += 1;
            } else {
                self.end(node, false, false);
            }
        }
        self.convergence.outage.stage = OutageStage::Noticing;
        self.convergence.outage.since_us = self.now_us;
        self.after(LOOK_US, Event::Outage);
    }

    /// Sends the next request to one of the nodes that are left.
    fn demand(&mut self, outage: Outage, number: u8) {
        // A node that is alone can't give a put the two acknowledgements that its bucket's `min_w` wants, and need not
        // hold the key.
        let alone = matches!(outage.away, OutageScope::AllBut(_));
        if number == REQUESTS || alone {
            return self.lift();
        }
        let away = &self.convergence.outage.away;
        let left: Vec<u8> =
            self.present().into_iter().filter(|node| !away.contains(node)).collect();
        let to = left[(usize::from(outage.key) + usize::from(number)) % left.len()];
        let n = self.quorums(outage.key).n;
        let w = (2 + number / 2 % 2).min(n);
        let dw = if self.plan.setting.all_sync { Quorum::Count(w) } else { Quorum::Default };
        let write =
            number.is_multiple_of(2).then(|| self.history.begin(false, Seen::default(), None));
        let key = self.history.key(outage.key).clone();
        let request = match write {
            Some(write) => ClientRequest::Put(PutRequest {
                key,
                content: Content::Value(format!("w{write}").as_str().into()),
                context: None,
                write_id: write_id(write),
                ttl_ms: None,
                n: None,
                w: Quorum::Count(w),
                pw: Quorum::Default,
                // A bucket that wants more nodes than are left can't be served.
                dw,
                timeout_ms: TIMEOUT_MS,
            }),
            None => ClientRequest::Get(GetRequest {
                key,
                n: None,
                r: Quorum::Count(2),
                pr: Quorum::Default,
                timeout_ms: TIMEOUT_MS,
            }),
        };
        self.calls += 1;
        let call = self.calls;
        self.log.say(self.now_us, None, Some(outage.key), || match write {
            Some(write) => format!("in the outage n{} is asked to store w{write}", to + 1),
            None => format!("in the outage n{} is asked for a get", to + 1),
        });
        let bytes =
            Bytes::from(Frame::ClientRequest { id: call, request }.encode(SPOKEN).into_vec());
        let client = self.plan.setting.clients;
        self.after(1_000, Event::Request { to, client, call, bytes });
        self.convergence.outage.stage = OutageStage::Asking { number, call, write };
        self.convergence.outage.since_us = self.now_us;
        self.after(LOOK_US, Event::Outage);
    }

    /// Takes an answer to a request of the outage; false if the answer belongs to the gets at rest.
    pub(crate) fn hear_outage(&mut self, heard: u64, response: &ClientResponse) -> bool {
        let Some(outage) = self.plan.outage else { return false };
        let OutageStage::Asking { number, call, write } = self.convergence.outage.stage else {
            return false;
        };
        if heard != call {
            return false;
        }
        self.log.say(self.now_us, None, Some(outage.key), || {
            format!("the answer: {}", crate::trace::answer(response))
        });
        match (response, write) {
            (ClientResponse::Put(_), Some(write)) => {
                let how = Acknowledged { by_primaries: false, frail: false };
                self.history.acknowledge(outage.key, write, how);
                self.convergence.outage.writes.insert(write);
            }
            (ClientResponse::Got(answer), None) => {
                let before = self.convergence.outage.writes.clone();
                let how = (true, self.now_us);
                let checked = self.history.check_answer(outage.key, answer, &before, how);
                self.note(checked);
            }
            // A limit that clients met before is no lack of nodes.
            (ClientResponse::Failed(failure), Some(_))
                if failure.code == ErrorCode::TooManySiblings => {}
            (other, _) => {
                let what = crate::trace::answer(other);
                self.fail_outage(outage, what);
                return true;
            }
        }
        self.demand(outage, number + 1);
        true
    }

    /// Ends the outage: all nodes come back, and the cluster comes to rest.
    fn lift(&mut self) {
        self.convergence.outage.stage = OutageStage::Lifted;
        self.cease();
        self.settle();
    }
}
