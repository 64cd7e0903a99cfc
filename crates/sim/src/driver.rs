//! The driver of one node's machines, as the server drives them: turn by turn, with outputs in their order.
//!
//! Invariant: every output of a machine is executed here, and nothing else is.

use bytes::Bytes;
use jedlik_hashing::NodeId;
use jedlik_protocol::Now;
use jedlik_protocol::client::ClientResponse;
use jedlik_protocol::codec::Frame;
use jedlik_protocol::peer::PeerRequest;
use jedlik_replica::{Counter, Input, Output, dispute_over, dispute_with_peer};

use crate::answers::{no_room, no_storage, not_ready};
use crate::breach::{Breach, Promise};
use crate::disk::{Completion, Step};
use crate::network::IDLE_LIMIT_US;
use crate::node::{Mail, News, Origin, Running, SPOKEN};
use crate::trace;
use crate::world::{Event, World};

impl World {
    /// Delivers something to a node; a node that stands still handles it later.
    pub(crate) fn deliver(&mut self, node: u8, mail: Mail) {
        let place = &mut self.nodes[usize::from(node)];
        let Some(running) = &mut place.running else { return };
        if place.pauses > 0 {
            running.backlog.push(mail);
            return;
        }
        self.take(node, mail);
        self.end_turn(node);
    }

    /// Calls a node's machines, unless an earlier wake was set since this one. The earlier one has already led to the
    /// next; a wake taken twice would go on for ever beside it.
    pub(crate) fn wake(&mut self, node: u8) {
        let now_us = self.now_us;
        let Some(running) = self.running(node).filter(|running| running.wake_us == now_us) else {
            return;
        };
        running.wake_us = u64::MAX;
        self.deliver(node, Mail::Wake);
    }

    /// Resumes a node that stood still: first what came meanwhile is handled, then what is due.
    pub(crate) fn resume(&mut self, node: u8) {
        let Some(running) = self.running(node) else { return };
        for mail in std::mem::take(&mut running.backlog) {
            self.take(node, mail);
        }
        self.end_turn(node);
    }

    pub(crate) fn running(&mut self, node: u8) -> Option<&mut Running> {
        self.nodes[usize::from(node)].running.as_mut()
    }

    fn node_now(&self, node: u8) -> Now {
        self.nodes[usize::from(node)].clock.now(self.now_us)
    }

    fn take(&mut self, node: u8, mail: Mail) {
        match mail {
            Mail::Frame { from, epoch, bytes } => self.receive(node, (from, epoch), &bytes),
            Mail::Client { client, call, bytes } => {
                let origin = Origin::Client { client, call };
                if let Some(Frame::ClientRequest { request, .. }) = self.read(&bytes) {
                    let Some(running) = self.running(node) else { return };
                    let disputed = dispute_over(&running.membership.view(), &request).is_some();
                    if running.reopening {
                        return self.refuse(node, origin, no_storage());
                    }
                    if running.stopping || !running.serves || disputed {
                        return self.refuse_client(node, origin);
                    }
                    if self.lacks_room_for(node, &request) {
                        return self.answer_client(node, origin, ClientResponse::Failed(no_room()));
                    }
                    self.check_taken(node, &request);
                    let Some(running) = self.running(node) else { return };
                    let reply = running.wait(origin);
                    self.feed(node, Input::Client { reply, request });
                }
            }
            Mail::Lost { peer } => {
                let lost = self.who(peer);
                self.feed(node, Input::PeerLost { node: lost });
            }
            Mail::Disk(step) => self.advance_disk(node, step),
            Mail::Wake => {}
        }
    }

    fn receive(&mut self, node: u8, (from, epoch): (u8, u32), bytes: &Bytes) {
        let (now, peer) = (self.node_now(node), self.who(from));
        match self.read(bytes) {
            Some(Frame::PeerRequest { id: call, terms, request }) => {
                let Some(running) = self.running(node) else { return };
                let older = terms.layouts.newest < running.membership.view().layout_id();
                let fenced =
                    !matches!(request, PeerRequest::Forward(_) | PeerRequest::Inspect { .. });
                let is_new = matches!(request, PeerRequest::Forward(_));
                let stale = older && fenced;
                let origin = Origin::Peer { node: from, id: call, epoch, stale, forwarded: is_new };
                if running.reopening {
                    return self.refuse(node, origin, no_storage());
                }
                let view = running.membership.view();
                let disputed = dispute_with_peer(&view, &request).is_some();
                if running.stopping && is_new || !running.serves || disputed {
                    return self.refuse_peer(node, origin, not_ready());
                }
                if matches!(&request, PeerRequest::Forward(put) if self.lacks_room_for(node, put)) {
                    return self.refuse_peer(node, origin, no_room());
                }
                if let PeerRequest::Forward(put) = &request {
                    self.check_taken(node, put);
                }
                let Some(running) = self.running(node) else { return };
                let reply = running.wait(origin);
                if self.network.epoch(node, from) == epoch {
                    self.note_page((from, call), &request);
                }
                self.feed(node, Input::Peer { from: peer, reply, terms, request });
            }
            Some(Frame::PeerResponse { id: call, stamp, response }) => {
                self.feed(node, Input::PeerAnswer { from: peer, id: call, stamp, response });
            }
            Some(Frame::Gossip(gossip)) => {
                let Some(running) = self.running(node) else { return };
                running.caller = (from, epoch);
                running.membership.handle_gossip(now, peer, gossip);
                self.carry_out(node);
            }
            Some(_) | None => {}
        }
    }

    /// Decodes a frame; every frame went through the encoder.
    pub(crate) fn read(&mut self, bytes: &Bytes) -> Option<Frame> {
        let unreadable = |error| Breach {
            promise: Promise::Readable,
            key: None,
            what: format!("of {} bytes: {error}", bytes.len()),
        };
        self.note(Frame::decode(bytes, SPOKEN).map_err(unreadable))
    }

    /// Ends a turn: handles due timers, starts the journal and sets the next wake.
    pub(crate) fn end_turn(&mut self, node: u8) {
        let now = self.node_now(node);
        let Some(running) = self.running(node) else { return };
        if running.replica.poll_timeout().is_some_and(|due_us| due_us <= now.mono_us) {
            self.feed(node, Input::Timeout);
        }
        self.tell_membership(node, now);
        self.tell_totals(node);
        let place = &mut self.nodes[usize::from(node)];
        let row = place.disk.begin_row(&mut self.chances.disk);
        let (done, next) = place.disk.submit(&mut self.chances.disk);
        self.schedule_disk(node, row.map(|us| (Step::Kept, us)));
        self.schedule_disk(node, next.map(|us| (Step::Written, us)));
        self.complete(node, done);
        self.set_wake(node);
    }

    /// Tells the replica the totals of hints for others, where they have changed.
    fn tell_totals(&mut self, node: u8) {
        if self.running(node).is_some_and(|running| !running.reopening) {
            let totals = self.nodes[usize::from(node)].disk.take_totals();
            if !totals.is_empty() {
                self.feed(node, Input::HintTotals(totals));
            }
        }
    }

    fn tell_membership(&mut self, node: u8, now: Now) {
        let Some(running) = self.running(node) else { return };
        for news in std::mem::take(&mut running.news) {
            let membership = &mut running.membership;
            match news {
                News::Outcome { peer, answered } => membership.handle_outcome(now, peer, answered),
                News::Ready { layout, partition } => {
                    membership.handle_ready(now, layout, &[partition]);
                }
                News::Behind { peer } => membership.handle_behind(now, peer),
            }
        }
        if running.membership.poll_timeout().is_some_and(|due_us| due_us <= now.mono_us) {
            running.membership.handle_timeout(now);
        }
        self.carry_out(node);
    }

    fn set_wake(&mut self, node: u8) {
        let place = &mut self.nodes[usize::from(node)];
        let Some(running) = &mut place.running else { return };
        let replica_due = running.replica.poll_timeout().filter(|_| !running.reopening);
        let dues = [replica_due, running.membership.poll_timeout()];
        let Some(due_us) = dues.into_iter().flatten().min() else { return };
        let at_us = place.clock.until(due_us).max(self.now_us + 1);
        if at_us < running.wake_us {
            running.wake_us = at_us;
            let life = place.life;
            self.after(at_us - self.now_us, Event::Wake { node, life });
        }
    }

    fn advance_disk(&mut self, node: u8, step: Step) {
        let place = &mut self.nodes[usize::from(node)];
        let (done, next) = place.disk.advance(step, &mut self.chances.disk);
        if !done.is_empty() {
            let failed = done.iter().filter(|(_, result)| result.is_err()).count();
            let count = done.len();
            self.say(node, || format!("disk {step:?}: answers {count} writes, {failed} failed"));
        }
        self.schedule_disk(node, next);
        self.complete(node, done);
        if step == Step::Kept
            && let Some(running) = self.running(node)
            && std::mem::take(&mut running.told_unkept)
        {
            self.feed(node, Input::VotesKept { kept: true });
        }
    }

    fn schedule_disk(&mut self, node: u8, next: Option<(Step, u64)>) {
        if let Some((step, us)) = next {
            let opening = self.nodes[usize::from(node)].disk.opening;
            self.after(us, Event::Disk { node, opening, step });
        }
    }

    fn complete(&mut self, node: u8, done: Vec<Completion>) {
        for (ticket, result) in done {
            self.feed(node, Input::Applied { ticket, result });
        }
    }

    /// Gives the replica one input and executes its outputs, and all outputs that follow from those.
    pub(crate) fn feed(&mut self, node: u8, input: Input) {
        let now = self.node_now(node);
        let Some(running) = self.running(node).filter(|running| !running.reopening) else { return };
        let now = running.membership.agreed(now);
        running.replica.handle(now, input);
        while let Some(output) = self.running(node).and_then(|r| r.replica.poll_output()) {
            self.execute(node, now, output);
        }
    }

    fn execute(&mut self, node: u8, now: Now, output: Output) {
        match output {
            Output::Load { ticket, key } => {
                let result = Ok(self.nodes[usize::from(node)].disk.load(&key));
                self.give(node, now, Input::Loaded { ticket, result });
            }
            Output::Sync { ticket } => self.nodes[usize::from(node)].disk.sync(ticket),
            Output::Apply { .. }
            | Output::Revise { .. }
            | Output::Discard { .. }
            | Output::Hold { .. }
            | Output::Release { .. }
            | Output::Drop { .. }
            | Output::KeepVotes { .. } => self.store(node, now, output),
            Output::Recall { ticket, wanted } => self.recall(node, now, ticket, wanted),
            Output::LeaveCopy { .. } => self.nodes[usize::from(node)].disk.aside = None,
            Output::Survey { ticket, partitions } => {
                let result = Ok(self.nodes[usize::from(node)].disk.survey(partitions));
                self.give(node, now, Input::Surveyed { ticket, result });
            }
            Output::Hints { ticket, target, after, limit_records, .. } => {
                let disk = &mut self.nodes[usize::from(node)].disk;
                let page = disk.hints(target, after.as_ref(), limit_records);
                self.give(node, now, Input::HintPage { ticket, result: Ok(page) });
            }
            Output::Range { ticket, range } => {
                let page = self.nodes[usize::from(node)].disk.page(&range);
                self.give(node, now, Input::Ranged { ticket, result: Ok(page) });
            }
            Output::Request { to, id: call, terms, request } => {
                self.tell_request(node, to, &request);
                let frame = Frame::PeerRequest { id: call, terms, request };
                let slot = self.slot_known_to(node, to);
                if !self.send(node, slot, &frame) {
                    self.give(node, now, Input::PeerLost { node: to });
                }
            }
            Output::AnswerClient { reply, response } => {
                if let Some(origin) = self.running(node).and_then(|r| r.replies.remove(&reply)) {
                    self.answer_client(node, origin, response);
                }
            }
            Output::AnswerPeer { reply, stamp, response } => {
                if let Some(origin) = self.running(node).and_then(|r| r.replies.remove(&reply)) {
                    self.answer_peer(node, origin, (stamp, response));
                }
            }
            Output::Outcome { node: peer, answered } => {
                self.note_news(node, News::Outcome { peer, answered });
            }
            Output::Ready { layout, partition } => {
                self.say(node, || format!("is ready for partition {partition} of layout {layout}"));
                self.note_news(node, News::Ready { layout, partition });
            }
            Output::Behind { node: peer } => self.note_news(node, News::Behind { peer }),
            Output::Count(Counter::TruncatedEntries) => self.counts.truncated += 1,
            Output::Count(_) => {}
        }
    }

    fn note_news(&mut self, node: u8, news: News) {
        if let Some(running) = self.running(node) {
            running.news.push(news);
        }
    }

    pub(crate) fn give(&mut self, node: u8, now: Now, input: Input) {
        if let Some(running) = self.running(node) {
            running.replica.handle(now, input);
        }
    }

    fn tell_request(&mut self, node: u8, to: NodeId, request: &PeerRequest) {
        if matches!(request, PeerRequest::Hashes { .. }) {
            // Exchanges go on all the time; only their results are traced.
            return;
        }
        let (key, text) = (trace::key_of(request), || trace::request(to, request));
        self.log.say(self.now_us, Some(node), key, text);
    }

    /// Sends a frame; returns false if the transport knows that it can't.
    pub(crate) fn send(&mut self, from: u8, to: u8, frame: &Frame) -> bool {
        let target = &self.nodes[usize::from(to)];
        let gone = target.running.is_none() && self.now_us > target.missed_us;
        if gone || self.network.is_given_up(self.now_us, from, to) {
            return false;
        }
        if self.network.is_blocked(from, to) {
            return true;
        }
        let bytes = Bytes::from(frame.encode(SPOKEN).into_vec());
        let epoch = self.network.epoch(from, to);
        for delay_us in self.network.delays(from, to) {
            self.after(delay_us, Event::Frame { from, to, epoch, bytes: bytes.clone() });
        }
        true
    }

    /// Ends the connection of two nodes, of which both learn within a time.
    pub(crate) fn disconnect(&mut self, a: u8, b: u8, within_us: u64) {
        let epoch = self.network.disconnect(a, b);
        for (node, peer) in [(a, b), (b, a)] {
            let after_us = self.chances.faults.below(within_us.min(IDLE_LIMIT_US));
            self.after(after_us, Event::Lost { node, peer, epoch });
        }
    }
}

impl Running {
    /// Registers a waiting caller, and returns the number of its reply.
    fn wait(&mut self, origin: Origin) -> u64 {
        self.next_reply += 1;
        self.replies.insert(self.next_reply, origin);
        self.next_reply
    }
}
