//! Clients: each does one operation after the other, keeps contexts, and retries under the same write id.
//!
//! Invariant: a write counts as acknowledged only once its client has got the answer.

use std::collections::BTreeMap;

use bytes::Bytes;
use jedlik_protocol::client::{
    ClientRequest, ClientResponse, GetAnswer, GetRequest, PutAnswer, PutRequest,
};
use jedlik_protocol::codec::Frame;
use jedlik_protocol::{Blob, Quorum};
use jedlik_vclock::Content;

use crate::bits::Bits;
use crate::breach::{Breach, Promise};
use crate::history::{Acknowledged, Seen, write_id};
use crate::node::{Node, SPOKEN, id};
use crate::plan::{Kind, Operation, Plan};
use crate::scans::Scanning;
use crate::world::{Event, World};

/// Number of attempts that a client makes at most.
const ATTEMPTS: u8 = 4;
/// Time that a client waits in addition to the node's timeout.
const PATIENCE_US: u64 = 300_000;
/// Largest difference between two nodes' calendar clocks if no clock jumps.
const CLOCKS_APART_US: u64 = 3_000_000;
/// Pause of a client after a refusal.
const RETRY_US: u64 = 30_000;

#[derive(Debug, Clone)]
enum CallStage {
    Reading,
    Writing { write: usize, context: Option<Blob> },
    Scanning(Scanning),
}

#[derive(Debug)]
struct Call {
    operation: Operation,
    number: u64,
    attempt: u8,
    stage: CallStage,
    asked_us: u64,
    /// Writes of the key that had been acknowledged when the request was sent.
    before: Bits,
}

/// State of one client.
#[derive(Debug)]
pub(crate) struct Session {
    todo: Vec<Operation>,
    current: Option<Call>,
    kept: BTreeMap<u8, (Blob, Seen)>,
}

impl Session {
    pub(crate) fn new(client: u8, plan: &Plan) -> Self {
        let own = plan.operations.iter().filter(|operation| operation.client == client);
        Self { todo: own.rev().copied().collect(), current: None, kept: BTreeMap::new() }
    }
}

impl World {
    fn session(&mut self, client: u8) -> Option<&mut Session> {
        self.sessions.get_mut(usize::from(client))
    }

    /// Begins a client's next operation, once its time has come.
    pub(crate) fn go_on(&mut self, client: u8) {
        let (now_us, quiet) = (self.now_us, self.convergence.is_quiet());
        let Some(session) = self.session(client) else { return };
        if session.current.is_some() || quiet {
            return;
        }
        let Some(operation) = session.todo.last().copied() else { return };
        if operation.at_us > now_us {
            return self.after(operation.at_us - now_us, Event::Session { client });
        }
        session.todo.pop();
        let reads = matches!(operation.kind, Kind::Get | Kind::GetThenPut | Kind::GetThenDelete);
        let stage = if reads {
            CallStage::Reading
        } else if operation.kind == Kind::Scan {
            CallStage::Scanning(self.begin_scan(operation.key))
        } else {
            let kept = matches!(operation.kind, Kind::PutKept | Kind::DeleteKept);
            let kept = session.kept.get(&operation.key).filter(|_| kept).cloned();
            self.write_after(client, operation, kept)
        };
        self.ask(client, operation, stage, 0);
    }

    fn write_after(
        &mut self,
        client: u8,
        operation: Operation,
        seen: Option<(Blob, Seen)>,
    ) -> CallStage {
        let tombstone =
            matches!(operation.kind, Kind::Delete | Kind::GetThenDelete | Kind::DeleteKept);
        let (context, seen) = seen.map_or((None, Seen::default()), |(c, seen)| (Some(c), seen));
        let how = if context.is_some() { "with a context" } else { "blind" };
        let ttl_us = operation.ttl_ms.map(|ttl_ms| u64::from(ttl_ms) * 1_000);
        let expires_us =
            ttl_us.map(|ttl_us| (self.now_us + ttl_us).saturating_sub(CLOCKS_APART_US));
        let write = self.history.begin(tombstone, seen, expires_us.filter(|_| !tombstone));
        let what = if tombstone { "deletes" } else { "puts" };
        self.log.say(self.now_us, None, Some(operation.key), || {
            format!("c{client} {what} w{write}, {how}")
        });
        CallStage::Writing { write, context }
    }

    fn ask(&mut self, client: u8, operation: Operation, stage: CallStage, attempt: u8) {
        self.calls += 1;
        let number = self.calls;
        let via = if attempt == 0 {
            operation.via
        } else {
            self.chances.clients.below(self.plan.setting.slots().into()) as u8
        };
        let request = self.request(&operation, &stage);
        self.log.say(self.now_us, None, Some(operation.key), || {
            let what = match &stage {
                CallStage::Reading => "for a get".into(),
                CallStage::Scanning(_) => "for a page of its partition".into(),
                CallStage::Writing { write, .. } => format!("to store w{write}"),
            };
            format!("c{client} asks n{} {what}, attempt {}", via + 1, attempt + 1)
        });
        let bytes =
            Bytes::from(Frame::ClientRequest { id: number, request }.encode(SPOKEN).into_vec());
        let before = self.history.acknowledged_by_primaries(operation.key);
        let patience_us = if self.nodes[usize::from(via)].running.is_none() {
            RETRY_US
        } else {
            if let Some(delay_us) = self.network.client_delay() {
                self.after(delay_us, Event::Request { to: via, client, call: number, bytes });
            }
            u64::from(operation.timeout_ms) * 1_000 + PATIENCE_US
        };
        self.after(patience_us, Event::Patience { client, call: number });
        let asked_us = self.now_us;
        if let Some(session) = self.session(client) {
            session.current = Some(Call { operation, number, attempt, stage, asked_us, before });
        }
    }

    fn request(&self, operation: &Operation, stage: &CallStage) -> ClientRequest {
        let key = self.history.key(operation.key).clone();
        let (timeout_ms, quorums) = (operation.timeout_ms, self.quorums(operation.key));
        match stage {
            CallStage::Scanning(scanning) => {
                ClientRequest::Scan(self.scan_request(operation, scanning))
            }
            CallStage::Reading => ClientRequest::Get(GetRequest {
                key,
                n: None,
                r: operation.r.map_or(Quorum::Default, Quorum::Count),
                pr: strictly(operation, quorums.r),
                timeout_ms,
            }),
            CallStage::Writing { write, context } => {
                let deletes =
                    matches!(operation.kind, Kind::Delete | Kind::GetThenDelete | Kind::DeleteKept);
                let value = || Content::Value(format!("w{write}").as_str().into());
                ClientRequest::Put(PutRequest {
                    key,
                    content: if deletes { Content::Tombstone } else { value() },
                    context: context.clone(),
                    write_id: write_id(*write),
                    ttl_ms: operation.ttl_ms.filter(|_| !deletes).map(u64::from),
                    n: None,
                    w: operation.w.map_or(Quorum::Default, Quorum::Count),
                    pw: strictly(operation, quorums.w),
                    dw: Quorum::Default,
                    timeout_ms,
                })
            }
        }
    }

    /// Takes a node's answer to a client.
    pub(crate) fn hear(&mut self, client: u8, number: u64, bytes: &Bytes) {
        let Some(Frame::ClientResponse { response, .. }) = self.read(bytes) else { return };
        if usize::from(client) >= self.sessions.len() {
            return self.hear_audit(number, &response);
        }
        let Some(session) = self.session(client) else { return };
        let Some(call) = session.current.take_if(|call| call.number == number) else { return };
        match response {
            ClientResponse::Got(answer) => self.got(client, call, &answer),
            ClientResponse::Put(answer) => {
                let CallStage::Writing { write, .. } = call.stage else { return };
                let key = call.operation.key;
                self.counts.acknowledged += 1;
                self.log.say(self.now_us, None, Some(key), || {
                    format!("c{client} hears that w{write} is acknowledged")
                });
                let how = self.acknowledged(&call.operation, &answer);
                self.history.acknowledge(key, write, how);
                let seen = self.history.seen_by_token(key, &answer.context);
                self.history.replaced_unsent(key, write, &answer.context);
                if let Some(session) = self.session(client) {
                    session.kept.insert(key, (answer.context, seen));
                }
                self.after(0, Event::Session { client });
            }
            ClientResponse::Scanned(answer) => {
                let CallStage::Scanning(scanning) = call.stage else { return };
                match self.scanned(&call.operation, scanning, answer) {
                    Some(next) => self.ask(client, call.operation, CallStage::Scanning(next), 0),
                    None => self.after(0, Event::Session { client }),
                }
            }
            ClientResponse::Failed(failure) if failure.code.retryable() => {
                let number = call.number;
                if let Some(session) = self.session(client) {
                    session.current = Some(call);
                }
                self.after(RETRY_US, Event::Patience { client, call: number });
            }
            _ => self.after(0, Event::Session { client }),
        }
    }

    /// Returns how strong an acknowledgement is, within the bound of the run.
    fn acknowledged(&self, operation: &Operation, answer: &PutAnswer) -> Acknowledged {
        let victim = id(self.plan.setting.victim);
        let own = answer.by.iter().filter(|by| by.stands_in_for.is_none()).count();
        let quorums = self.quorums(operation.key);
        let w = operation.w.unwrap_or(quorums.w);
        // With several owner sets, the answer does not say how many primaries there were in each.
        let by_primaries = if self.admins.moved {
            operation.strict || own == answer.by.len() && w >= quorums.w
        } else {
            own >= usize::from(quorums.w)
        };
        let safe = answer.by.iter().any(|by| by.node != victim && by.stands_in_for != Some(victim));
        Acknowledged { by_primaries, frail: w == 1 && !safe }
    }

    fn got(&mut self, client: u8, call: Call, answer: &GetAnswer) {
        self.counts.gets += 1;
        let Call { operation, before, asked_us, .. } = call;
        let key = operation.key;
        self.log.say(self.now_us, None, Some(key), || {
            format!(
                "c{client} hears {}",
                crate::trace::answer(&ClientResponse::Got(answer.clone()))
            )
        });
        self.check_absent(&operation, answer);
        let primaries = answer.primaries >= self.quorums(key).r && !self.admins.moved;
        let certain = (primaries || operation.strict)
            && !self.removed_unawares(asked_us)
            && !self.answers_alone(operation.r.unwrap_or(self.quorums(key).r))
            && !self.is_recounted(key);
        let missed = self.may_miss(key);
        let before = before.from(missed);
        let checked = self.history.check_answer(key, answer, &before, (certain, self.now_us));
        let Some(seen) = self.note(checked) else { return };
        let kept = answer.context.clone().map(|context| (context, seen));
        let Some(session) = self.session(client) else { return };
        match &kept {
            Some(kept) => drop(session.kept.insert(key, kept.clone())),
            None => drop(session.kept.remove(&key)),
        }
        if operation.kind == Kind::Get {
            return self.after(0, Event::Session { client });
        }
        let stage = self.write_after(client, operation, kept);
        self.ask(client, operation, stage, 0);
    }

    /// Checks that enough primaries have said that a key is absent. Once the layout has changed, the answer does not
    /// say how many there were in each owner set.
    fn check_absent(&mut self, operation: &Operation, answer: &GetAnswer) {
        let r = operation.r.unwrap_or(self.quorums(operation.key).r);
        let nothing = answer.versions.is_empty() && answer.context.is_none();
        let certain = !self.admins.moved && !self.is_recounted(operation.key);
        if nothing && certain && answer.primaries < r {
            let what = format!("{} primaries of {r} say so", answer.primaries);
            let breach = Breach::new(Promise::AbsentIsKnown, operation.key, what);
            self.breach.get_or_insert(breach);
        }
    }

    /// Returns the number of the write below which a get may miss acknowledged writes: copies of the key were
    /// destroyed, or are with a node's other process, and the node that answers does not know.
    pub(crate) fn may_miss(&mut self, key: u8) -> usize {
        let since_all_know = self.since_all_know_of_the_clone();
        let owned = self.admins.ever_owned(key, self.plan.setting.victim);
        match owned {
            true if self.runs_twice() => since_all_know.unwrap_or(usize::MAX),
            true => self.damage.unnoticed,
            false => 0,
        }
    }

    /// Whether a node that was removed by force has run since this time without knowing it. Its answers lose their
    /// worth with its removal, and with R of 1 no other node contradicts them.
    pub(crate) fn removed_unawares(&self, since_us: u64) -> bool {
        let ran = |place: &Node| place.running.is_some() || place.missed_us >= since_us;
        self.nodes.iter().any(|place| place.removed && ran(place))
    }

    /// Ends a client's wait for a call, which is repeated elsewhere or given up.
    pub(crate) fn lose_patience(&mut self, client: u8, number: u64) {
        let quiet = self.convergence.is_quiet();
        let Some(session) = self.session(client) else { return };
        let Some(call) = session.current.take_if(|call| call.number == number) else { return };
        if call.attempt + 1 < ATTEMPTS && !quiet {
            return self.ask(client, call.operation, call.stage, call.attempt + 1);
        }
        let key = call.operation.key;
        self.log.say(self.now_us, None, Some(key), || format!("c{client} gives up"));
        self.after(0, Event::Session { client });
    }
}

/// Returns the number of primaries that must answer, in each active owner set.
fn strictly(operation: &Operation, count: u8) -> Quorum {
    if operation.strict { Quorum::Count(count) } else { Quorum::Default }
}
