//! The time before the first fault and after the last: the cluster is set up, comes to rest, and is judged.
//!
//! Invariant: only hints and anti-entropy bring the replicas together; gets come after.

use std::collections::BTreeMap;

use bytes::Bytes;
use jedlik_protocol::admin::{AdminRequest, AdminResponse};
use jedlik_protocol::client::{ClientRequest, ClientResponse, GetAnswer, GetRequest};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::{Now, Quorum};
use jedlik_storage_port::Holding;

use crate::breach::{Breach, Promise};
use crate::clock::calendar_ms;
use crate::node::{Node, SPOKEN};
use crate::outage::OutageState;
use crate::plan::{BucketPlan, Quorums};
use crate::world::{Event, World, key_index};

/// Time after the last fault before the cluster is checked.
const SETTLE_US: u64 = 5_000_000;
const LOOK_US: u64 = 1_000_000;
/// Time in which the cluster must agree, hand its hints off and forget dead records.
const LIMIT_US: u64 = 180_000_000;
/// Time in which the gets must be answered.
const GETS_US: u64 = 6_000_000;

/// State of a run with respect to its end.
#[derive(Debug, Default)]
pub(crate) struct Convergence {
    owners: Vec<Vec<u8>>,
    /// Time at which faults ceased, if they have.
    quiet_us: Option<u64>,
    pub(crate) outage: OutageState,
    /// Time from which nothing happens from outside.
    settling_us: u64,
    /// Gets under way by call, with their keys, once everything else is well.
    asked: BTreeMap<u64, u8>,
    asked_us: Option<u64>,
    answers: BTreeMap<u8, GetAnswer>,
    over: bool,
}

impl Convergence {
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet_us.is_some()
    }

    pub(crate) fn quiet_us(&self) -> Option<u64> {
        self.quiet_us
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    pub(crate) fn owners(&self, key: u8) -> &[u8] {
        self.owners.get(usize::from(key)).map_or(&[], Vec::as_slice)
    }
}

impl World {
    /// Performs the admin's part: a layout, the buckets' properties, and a check that all nodes have them.
    pub(crate) fn set_up(&mut self, step: u8) {
        match step {
            0 => {
                let Ok(AdminResponse::Plan(report)) = self.admin(0, &AdminRequest::Plan) else {
                    return self.fail_set_up("no plan");
                };
                let commit = AdminRequest::Commit { plan: report.plan, lost: 0, dry_run: false };
                if self.admin(0, &commit).is_err() {
                    self.fail_set_up("no layout");
                }
            }
            1 => {
                for bucket in 0..self.plan.setting.buckets.len() as u8 {
                    let quorums = self.plan.setting.buckets[usize::from(bucket)].quorums;
                    let request = self.bucket_to_set(bucket, quorums);
                    if self.admin(0, &request).is_err() {
                        self.fail_set_up("no bucket");
                    }
                }
            }
            _ => {
                let setting = self.plan.setting.clone();
                self.network.trouble(setting.loss_permille, setting.duplicate_permille);
                let settled = |view: std::sync::Arc<jedlik_membership::View>| {
                    view.layout_version() > 0 && view.flipped() == view.partitions().get()
                };
                // A spare may have started a moment ago.
                let first = &self.nodes[..usize::from(setting.nodes)];
                let mut running = first.iter().filter_map(|place| place.running.as_ref());
                if !running.all(|running| settled(running.membership.view())) {
                    self.fail_set_up("a node has no layout");
                }
                self.find_owners();
                if let Some(view) = self.newest_view() {
                    self.note_layout(&view);
                }
                for key in 0..setting.keys {
                    let owners =
                        self.convergence.owners(key).iter().map(|node| format!("n{}", node + 1));
                    let owners = owners.collect::<Vec<_>>().join(" ");
                    self.log.say(self.now_us, None, Some(key), || format!("owners: {owners}"));
                }
            }
        }
    }

    pub(crate) fn bucket_to_set(&self, bucket: u8, quorums: Quorums) -> AdminRequest {
        let setting = &self.plan.setting;
        let BucketPlan { min_w, last_write_wins, .. } = setting.buckets[usize::from(bucket)];
        let Quorums { n, r, w } = quorums;
        let dw = if setting.all_sync { w } else { 0 };
        let reconcile = if last_write_wins { "last-write-wins" } else { "siblings" };
        let changes = vec![
            ("n".into(), n.to_string()),
            ("r".into(), r.to_string()),
            ("w".into(), w.to_string()),
            ("durability".into(), setting.durability.name().into()),
            ("dw".into(), dw.to_string()),
            ("min_w".into(), min_w.to_string()),
            ("sibling_limit".into(), "500".into()),
            ("reconcile".into(), reconcile.into()),
        ];
        AdminRequest::BucketSet { name: BucketPlan::name(bucket)[..].into(), changes }
    }

    fn fail_set_up(&mut self, what: &str) {
        let what = format!("before the first fault: {what}");
        self.breach.get_or_insert(Breach { promise: Promise::Available, key: None, what });
    }

    /// Records the owners of every key under the newest layout.
    pub(crate) fn find_owners(&mut self) {
        let Some(view) = self.newest_view() else { return };
        let keys = 0..self.plan.setting.keys;
        self.convergence.owners = keys.map(|key| self.owners_under(&view, key)).collect();
    }

    /// Sends an admin's request to a running node and returns its answer.
    pub(crate) fn admin(
        &mut self,
        node: u8,
        request: &AdminRequest,
    ) -> Result<AdminResponse, Failure> {
        let now = self.nodes[usize::from(node)].clock.now(self.now_us);
        let gone = || Failure::new(ErrorCode::NotReady, "the node has stopped");
        let running = self.running(node).ok_or_else(gone)?;
        let answer = running.membership.handle_admin(now, request);
        self.carry_out(node);
        self.end_turn(node);
        answer
    }

    pub(crate) fn quiet(&mut self) {
        self.convergence.quiet_us = Some(self.now_us);
        self.log.say(self.now_us, None, None, || "FAULTS CEASE".into());
        self.cease();
        if self.plan.outage.is_some() {
            self.after(LOOK_US, Event::Outage);
        } else {
            self.settle();
        }
    }

    /// Begins the time in which nothing happens from outside.
    pub(crate) fn settle(&mut self) {
        self.convergence.settling_us = self.now_us;
        self.after(SETTLE_US, Event::Audit);
    }

    /// Checks the cluster at rest. Once it has converged by itself it is judged, and every key is read once.
    pub(crate) fn audit(&mut self) {
        if let Some(asked_us) = self.convergence.asked_us {
            return self.audit_gets(asked_us);
        }
        self.find_owners();
        let unsettled = self.disagreement().or_else(|| self.unsettled());
        if let Some(breach) = unsettled {
            if self.now_us > self.convergence.settling_us + LIMIT_US {
                self.breach.get_or_insert(breach);
            }
            return self.after(LOOK_US, Event::Audit);
        }
        let settled_us = self.now_us - self.convergence.settling_us;
        self.log
            .say(self.now_us, None, None, || format!("AT REST after {} ms", settled_us / 1_000));
        self.counts.settling_us += settled_us;
        (0..self.plan.setting.places()).for_each(|node| self.check_trees(node));
        let keys = self.plan.setting.keys;
        (0..keys).for_each(|key| self.judge(key));
        self.convergence.asked_us = Some(self.now_us);
        (0..keys).for_each(|key| self.read_all(key));
        self.after(LOOK_US, Event::Audit);
    }

    fn audit_gets(&mut self, asked_us: u64) {
        let keys = self.plan.setting.keys;
        let unanswered = (0..keys).find(|key| !self.convergence.answers.contains_key(key));
        if unanswered.is_none() {
            self.convergence.over = true;
        } else if self.now_us > asked_us + GETS_US {
            let what = "a get from all owners is not answered".into();
            let breach = Breach { promise: Promise::Available, key: unanswered, what };
            self.breach.get_or_insert(breach);
        }
        self.after(LOOK_US, Event::Audit);
    }

    /// Returns what hints, anti-entropy and the collector have yet to do, if there is anything.
    fn unsettled(&self) -> Option<Breach> {
        for node in self.remaining() {
            if let Some((target, key)) = node.disk.held().next() {
                let what = format!("n{} holds one for n{}", node.index + 1, target.0);
                let key = key_index(&key.key).unwrap_or_default();
                return Some(Breach::new(Promise::HintsDrain, key, what));
            }
        }
        (0..self.plan.setting.keys).find_map(|key| self.unlike(key)).or_else(|| self.unfilled())
    }

    /// Returns a node that has no vote yet in some partitions, because it must still be compared with others.
    pub(crate) fn unfilled(&self) -> Option<Breach> {
        let mut nodes = self.remaining();
        nodes.find_map(|node| {
            let refilling = node.running.as_ref().map_or(0, |running| running.replica.refilling());
            let what = format!("n{} in {refilling} partitions", node.index + 1);
            let breach = Breach { promise: Promise::VotesComeBack, key: None, what };
            (refilling > 0).then_some(breach)
        })
    }

    /// Returns how the owners of a key differ, or that it is dead and some node still has it.
    fn unlike(&self, key: u8) -> Option<Breach> {
        let placed = self.placed(key);
        let held = |node: &u8| self.nodes[usize::from(*node)].disk.holding(&placed);
        let owners = self.convergence.owners(key);
        let records: Vec<_> = owners.iter().map(held).collect();
        let first = records.first()?.record.as_ref().map(|stored| &stored.record);
        let same = |holding: &Holding| {
            !holding.damaged && holding.record.as_ref().map(|stored| &stored.record) == first
        };
        if !records.iter().all(same) {
            let names = records.iter().zip(owners).map(|(holding, node)| {
                let held = holding.record.as_ref().and_then(|held| held.record.decode().ok());
                format!("n{} {}", node + 1, crate::trace::record(&held.unwrap_or_default()))
            });
            let what = names.collect::<Vec<_>>().join(", ");
            return Some(Breach::new(Promise::OwnersAgree, key, what));
        }
        for node in self.remaining() {
            let Some(stored) = node.disk.holding(&placed).record else { continue };
            let record = stored.record.decode().unwrap_or_default();
            if !owners.contains(&node.index) {
                let what = format!("n{} has {}", node.index + 1, crate::trace::record(&record));
                return Some(Breach::new(Promise::NoUnowned, key, what));
            }
            if record.is_dead(self.judged_ms(node)) {
                let what = format!("n{} has {}", node.index + 1, crate::trace::record(&record));
                return Some(Breach::new(Promise::DeadAreForgotten, key, what));
            }
        }
        None
    }

    /// Returns the time by which versions expire on a node: the time that members agree on, which a single wrong clock
    /// does not move. For a node that does not run it is the calendar's.
    pub(crate) fn judged_ms(&self, node: &Node) -> u64 {
        let now = node.clock.now(self.now_us);
        let agreed = node.running.as_ref().map(|running| running.membership.agreed(now));
        agreed.map_or_else(|| calendar_ms(self.now_us), Now::judged_ms)
    }

    /// Returns the nodes whose disks count: nodes that were removed by force are not let in again.
    fn remaining(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| !node.removed)
    }

    /// Checks that no tree which was rebuilt from the records had been different before, unless the records were
    /// changed behind the node's back.
    pub(crate) fn check_trees(&mut self, node: u8) {
        let identity = self.plan.setting.identity(node);
        let rotted = self.damage.rotted && identity == self.plan.setting.victim;
        let Some(running) = self.running(node).filter(|_| !rotted) else { return };
        let corrected = running.replica.repair_report().trees_corrected;
        if corrected > 0 {
            let what = format!("n{} had to correct {corrected}", node + 1);
            let breach = Breach { promise: Promise::TreesAreTrue, key: None, what };
            self.breach.get_or_insert(breach);
        }
    }

    fn read_all(&mut self, key: u8) {
        self.calls += 1;
        let call = self.calls;
        self.convergence.asked.insert(call, key);
        // A rival layout that wins may leave fewer nodes than the bucket's N.
        let owners = u8::try_from(self.convergence.owners(key).len()).expect("N is a u8");
        let request = ClientRequest::Get(GetRequest {
            key: self.history.key(key).clone(),
            n: None,
            r: Quorum::Count(owners),
            pr: Quorum::Default,
            timeout_ms: 5_000,
        });
        let present = self.present();
        let to = present[usize::from(key) % present.len()];
        let bytes =
            Bytes::from(Frame::ClientRequest { id: call, request }.encode(SPOKEN).into_vec());
        let client = self.plan.setting.clients;
        self.after(1_000, Event::Request { to, client, call, bytes });
    }

    pub(crate) fn hear_audit(&mut self, call: u64, response: &ClientResponse) {
        if self.hear_outage(call, response) {
            return;
        }
        let Some(key) = self.convergence.asked.remove(&call) else { return };
        if let ClientResponse::Got(answer) = response {
            let before = self.history.acknowledged(key, self.damage.destroyed);
            let result = self.history.check_answer(key, answer, &before, (true, self.now_us));
            self.note(result);
            self.convergence.answers.insert(key, answer.clone());
        }
    }

    /// Judges the record that all owners of a key hold against the history.
    fn judge(&mut self, key: u8) {
        let placed = self.placed(key);
        let owner = self.convergence.owners(key).first().copied().unwrap_or_default();
        let stored = self.nodes[usize::from(owner)].disk.holding(&placed).record;
        let record = stored.and_then(|stored| stored.record.decode().ok()).unwrap_or_default();
        let before = self.history.acknowledged(key, self.damage.destroyed);
        let result = self.history.check_rest(key, &record, &before);
        self.note(result);
    }

    /// Returns a difference between the nodes' views, or a move that has not ended, if there is one.
    pub(crate) fn disagreement(&mut self) -> Option<Breach> {
        let breach = |promise, what| Some(Breach { promise, key: None, what });
        let mut first = None;
        for node in self.present() {
            let Some(running) = self.running(node) else {
                return breach(Promise::OneLayout, format!("n{} is not up", node + 1));
            };
            let view = running.membership.view();
            if view.rival(view.me()).is_some() {
                return breach(Promise::OneLayout, format!("n{} is disputed", node + 1));
            }
            let now = Now::new(0, 0);
            let buckets = running.membership.handle_admin(now, &AdminRequest::BucketList).ok();
            let known = (view.layout().cloned(), buckets);
            let Some(layout) = &known.0 else {
                return breach(Promise::OneLayout, format!("n{} has no layout", node + 1));
            };
            if layout.departed(view.me()).is_some() {
                return breach(Promise::GoneStayGone, format!("n{} is to leave", node + 1));
            }
            if *first.get_or_insert(known.clone()) != known {
                return breach(Promise::OneLayout, format!("n{} differs", node + 1));
            }
            let (flipped, of) = (view.flipped(), view.partitions().get());
            if flipped < of {
                let what = format!("n{} knows of {flipped} partitions of {of}", node + 1);
                return breach(Promise::MovesEnd, what);
            }
            if !view.is_known_by_all() {
                let newest = view.layout_id();
                let behind = view.members().filter(|member| member.layout < newest);
                let behind: Vec<&str> = behind.map(|member| member.name.as_str()).collect();
                let what = format!("by n{} {} lack the layout", node + 1, behind.join(" "));
                return breach(Promise::OneLayout, what);
            }
        }
        let back = self.nodes.iter().find(|place| place.removed && place.running.is_some());
        if let Some(place) = back {
            let what = format!("n{} was removed by force", place.index + 1);
            return breach(Promise::GoneStayGone, what);
        }
        let changing = self.convergence.is_quiet() && !self.admins.are_done();
        changing.then(|| Breach {
            promise: Promise::MovesEnd,
            key: None,
            what: "an admin's change is not in force".into(),
        })
    }
}
