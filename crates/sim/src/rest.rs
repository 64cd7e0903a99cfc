//! Before the first fault and after the last: the cluster is set up, comes to rest, and is judged.
//!
//! Invariant: repair goes through real gets with R = N alone, since nothing else repairs yet.

use std::collections::BTreeMap;

use bytes::Bytes;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::client::{ClientRequest, ClientResponse, GetAnswer, GetRequest};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::Failure;
use jedlik_protocol::{Blob, Quorum};

use crate::breach::{Breach, Promise};
use crate::node::index;
use crate::world::{BUCKET, Event, World};

/// How long after the last fault before anything is asked for.
const SETTLE_US: u64 = 10_000_000;
/// How long nodes may take to agree about the cluster and to answer everything.
const LIMIT_US: u64 = 180_000_000;
const ROUND_US: u64 = 6_000_000;
/// Whole rounds of gets that must succeed, one after the other.
const ROUNDS: u32 = 2;

/// Where a run stands with respect to its end.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    owners: Vec<Vec<u8>>,
    quiet_us: Option<u64>,
    /// The gets of this round by call.
    asked: BTreeMap<u64, u8>,
    answers: BTreeMap<u8, GetAnswer>,
    rounds: u32,
    whole: u32,
    over: bool,
}

impl Rest {
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet_us.is_some()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn owners(&self, key: u8) -> &[u8] {
        self.owners.get(usize::from(key)).map_or(&[], Vec::as_slice)
    }
}

impl World {
    /// The admin's part: a layout, the bucket's properties, and a look whether all have them.
    pub(crate) fn set_up(&mut self, step: u8) {
        match step {
            0 => {
                let Ok(AdminResponse::Plan(report)) = self.admin(0, &AdminRequest::Plan) else {
                    return self.fail_set_up("no plan");
                };
                if self.admin(0, &AdminRequest::Commit { plan: report.plan }).is_err() {
                    self.fail_set_up("no layout");
                }
            }
            1 => {
                let setting = &self.plan.setting;
                let changes = vec![
                    ("durability".into(), setting.durability.name().into()),
                    ("dw".into(), setting.dw.to_string()),
                    ("sibling_limit".into(), "1000".into()),
                ];
                let request = AdminRequest::BucketSet { name: Blob::from(BUCKET), changes };
                if self.admin(0, &request).is_err() {
                    self.fail_set_up("no bucket");
                }
            }
            _ => {
                let setting = self.plan.setting.clone();
                self.network.trouble(setting.loss_permille, setting.duplicate_permille);
                if self.disagreement().is_some() {
                    self.fail_set_up("nodes disagree");
                }
                self.rest.owners = (0..setting.keys).map(|key| self.owners_of(key)).collect();
                for key in 0..setting.keys {
                    let owners = self.rest.owners(key).iter().map(|node| format!("n{}", node + 1));
                    let owners = owners.collect::<Vec<_>>().join(" ");
                    self.log.say(self.now_us, None, Some(key), || format!("owners: {owners}"));
                }
            }
        }
    }

    fn fail_set_up(&mut self, what: &str) {
        let what = format!("before the first fault: {what}");
        self.breach.get_or_insert(Breach { promise: Promise::Available, key: None, what });
    }

    fn owners_of(&mut self, key: u8) -> Vec<u8> {
        let placed = self.placed(key);
        let Some(running) = self.running(0) else { return Vec::new() };
        let view = running.membership.view();
        view.preference_list(placed.partition).iter().take(3).map(|node| index(*node)).collect()
    }

    fn admin(&mut self, node: u8, request: &AdminRequest) -> Result<AdminResponse, Failure> {
        let now = self.nodes[usize::from(node)].clock.now(self.now_us);
        let running = self.running(node).expect("nothing stops before the first fault");
        let answer = running.membership.handle_admin(now, request);
        self.carry_out(node);
        self.end_turn(node);
        answer
    }

    pub(crate) fn quiet(&mut self) {
        self.rest.quiet_us = Some(self.now_us);
        self.log.say(self.now_us, None, None, || "FAULTS CEASE".into());
        self.cease();
        self.after(SETTLE_US, Event::Audit);
    }

    /// One look at the cluster at rest: agreement first, then rounds of gets, then judgement.
    pub(crate) fn audit(&mut self) {
        let late = self.rest.quiet_us.is_some_and(|at_us| self.now_us > at_us + LIMIT_US);
        if let Some(what) = self.disagreement() {
            if late {
                let breach = Breach { promise: Promise::OneLayout, key: None, what };
                self.breach.get_or_insert(breach);
            }
            return self.after(1_000_000, Event::Audit);
        }
        let keys = self.plan.setting.keys;
        if self.rest.rounds > 0 {
            let whole = self.rest.answers.len() == usize::from(keys);
            self.rest.whole = if whole { self.rest.whole + 1 } else { 0 };
        }
        if self.rest.whole >= ROUNDS {
            self.rest.over = true;
            return (0..keys).for_each(|key| self.judge(key));
        }
        if late {
            let unanswered = (0..keys).find(|key| !self.rest.answers.contains_key(key));
            let what = "a get with r = n is not answered".into();
            let breach = Breach { promise: Promise::Available, key: unanswered, what };
            self.breach.get_or_insert(breach);
            return;
        }
        self.rest.rounds += 1;
        self.rest.answers.clear();
        self.rest.asked.clear();
        (0..keys).for_each(|key| self.read_all(key));
        self.after(ROUND_US, Event::Audit);
    }

    fn read_all(&mut self, key: u8) {
        self.calls += 1;
        let call = self.calls;
        self.rest.asked.insert(call, key);
        let request = ClientRequest::Get(GetRequest {
            key: self.history.key(key).clone(),
            n: None,
            r: Quorum::All,
            pr: Quorum::Default,
            timeout_ms: 5_000,
        });
        let to = ((self.rest.rounds + u32::from(key)) % u32::from(self.plan.setting.nodes)) as u8;
        let bytes = Bytes::from(Frame::ClientRequest { id: call, request }.encode().into_vec());
        let client = self.plan.setting.clients;
        self.after(1_000, Event::Request { to, client, call, bytes });
    }

    pub(crate) fn hear_audit(&mut self, call: u64, response: &ClientResponse) {
        let Some(key) = self.rest.asked.remove(&call) else { return };
        if let ClientResponse::Got(answer) = response {
            self.rest.answers.insert(key, answer.clone());
        }
    }

    fn judge(&mut self, key: u8) {
        let placed = self.placed(key);
        let stored = |node: &u8| {
            let stored = self.nodes[usize::from(*node)].disk.load(&placed);
            stored.map(|stored| stored.map(|stored| stored.record))
        };
        let held: Vec<_> = self.rest.owners(key).iter().map(stored).collect();
        let first = held.first().cloned().unwrap_or(Ok(None));
        if held.iter().any(|other| *other != first) {
            let names = held.iter().zip(self.rest.owners(key)).map(|(held, node)| {
                let held = held.as_ref().ok().and_then(Option::as_ref);
                let record = held.and_then(|record| record.decode().ok()).unwrap_or_default();
                format!("n{} {}", node + 1, crate::story::record(&record))
            });
            let what = names.collect::<Vec<_>>().join(", ");
            self.breach.get_or_insert(Breach::new(Promise::OwnersAgree, key, what));
            return;
        }
        let record = first.ok().flatten().and_then(|record| record.decode().ok());
        let record = record.unwrap_or_default();
        let result = self.history.check_rest(key, &record);
        self.note(result);
        if let Some(answer) = self.rest.answers.get(&key) {
            let before = self.history.acknowledged(key);
            let result = self.history.check_answer(key, answer, &before, true);
            self.note(result);
        }
    }

    /// What nodes differ about, if anything.
    fn disagreement(&mut self) -> Option<String> {
        let mut first = None;
        for node in 0..self.plan.setting.nodes {
            let Some(running) = self.running(node) else {
                return Some(format!("n{} is not up", node + 1));
            };
            let view = running.membership.view();
            let now = jedlik_protocol::Now { mono_us: 0, wall_ms: 0 };
            let buckets = running.membership.handle_admin(now, &AdminRequest::BucketList).ok();
            let known = (view.layout().cloned(), buckets);
            if known.0.is_none() {
                return Some(format!("n{} has no layout", node + 1));
            }
            if *first.get_or_insert(known.clone()) != known {
                return Some(format!("n{} differs from n1", node + 1));
            }
        }
        None
    }
}
