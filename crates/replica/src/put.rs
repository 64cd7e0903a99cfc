//! Puts: checked, forwarded to an owner or minted here, then run by the coordinator's machine.

mod base;
mod operation;
mod queue;
mod restarted;
mod round;

use alloc::format;
use alloc::vec::Vec;

use jedlik_coordinator::{ListedNode, Needs, WritePlan};
use jedlik_membership::View;
use jedlik_protocol::bucket::BucketProps;
use jedlik_protocol::client::{ClientRequest, PutRequest};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::escape::Escaped;
use jedlik_protocol::limits::VALUE_LIMIT_MAX_BYTES;
use jedlik_protocol::{Context, PlacedKey};
use jedlik_vclock::Content;

pub(crate) use self::operation::{PutOperation, WaitingPut};
pub(crate) use self::queue::KeyQueues;
use crate::answer::{check_nodes, deadline_us, resolve, resolve_n};
use crate::cx::Cx;
use crate::operations::{Operations, SILENT_AFTER_US};
use crate::pending::Asker;

impl Operations {
    pub(crate) fn start_put(&mut self, cx: &mut Cx, asker: Asker, request: PutRequest) {
        let put = match self.plan_put(cx, asker, request) {
            Ok(planned) => planned,
            Err(failure) => return cx.refuse(asker, failure),
        };
        let me = cx.config.me;
        let Some(WritePlan { primaries, fallbacks, .. }) = put.plans.first() else { return };
        let living = |listed: &[ListedNode]| listed.iter().any(|one| one.alive);
        let is_in = |listed: &[ListedNode]| listed.iter().any(|one| one.node == me);
        let is_primary = put.plans.iter().any(|plan| is_in(&plan.primaries));
        let is_fallback = put.plans.iter().any(|plan| is_in(&plan.fallbacks));
        // A fallback coordinates a put that a node which found no better one passed to it, and a put that no
        // primary can.
        let asked_to = matches!(asker, Asker::Peer(_)) || !living(primaries);
        if is_primary || (is_fallback && asked_to) {
            return self.coordinate_put(cx, put);
        }
        if matches!(asker, Asker::Peer(_)) {
            let message = "this node is not in the key's preference list under its layout";
            return cx.refuse(asker, Failure::new(ErrorCode::NotOwner, message));
        }
        let all = || primaries.iter().chain(fallbacks);
        let up = all().filter(|target| target.alive);
        let away = all().filter(|target| !target.alive);
        let owners = up.chain(away).map(|target| target.node).collect();
        let deadline_us = put.deadline_us();
        self.forward(cx, asker, ClientRequest::Put(put.request), owners, deadline_us);
    }

    /// Coordinates here a put that was to be forwarded, since this node's turn among those to be asked has
    /// come. `elsewhere`: a node that was asked before may carry it out all the same.
    pub(crate) fn start_put_here(
        &mut self,
        cx: &mut Cx,
        asker: Asker,
        request: PutRequest,
        elsewhere: bool,
    ) {
        match self.plan_put(cx, asker, request) {
            Ok(put) => self.coordinate_put(cx, WaitingPut { passes_on: false, elsewhere, ..put }),
            Err(failure) => refuse_put(cx, asker, failure, elsewhere),
        }
    }

    fn plan_put(&self, cx: &Cx, asker: Asker, request: PutRequest) -> Result<WaitingPut, Failure> {
        let view = cx.ready()?;
        let props = view.bucket(request.key.bucket()).clone();
        let n = resolve_n(request.n, props.n)?;
        let needs = Needs {
            answers: resolve("w", request.w, props.w, n, 1)?,
            primaries: resolve("pw", request.pw, props.pw, n, 0)?,
            synced: resolve("dw", request.dw, props.dw, n, 0)?,
        };
        check_least(&request, needs.answers, &props)?;
        let deadline_us = deadline_us(cx.now.mono_us, request.timeout_ms)?;
        if request.ttl_ms == Some(0) {
            let message = "a time to live of 0 ms would be over before the put is answered: use at least \
                           1 ms, or none";
            return Err(Failure::new(ErrorCode::InvalidRequest, message));
        }
        if let Content::Value(value) = &request.content
            && value.size() > props.value_limit_bytes as usize
        {
            let (length, limit) = (value.size(), props.value_limit_bytes);
            let message = format!(
                "the value has {length} bytes, its attributes included, over the bucket's value_limit_bytes={limit}, which \
                 `jedlik-admin bucket set` raises up to {VALUE_LIMIT_MAX_BYTES}"
            );
            return Err(Failure::new(ErrorCode::ValueTooLarge, message));
        }
        let context = request.context.as_ref().map_or(Ok(Context::default()), |token| {
            Context::decode(token, cx.config.cluster, &request.key)
        });
        let context =
            context.map_err(|error| Failure::new(ErrorCode::InvalidContext, format!("{error}")))?.0;
        let key = PlacedKey::new(cx.config.cluster, view.partitions(), request.key.clone());
        check_nodes("put", needs, &cx.owner_sets(&view, key.partition, n))?;
        let plans = self.plans_of_put(cx, &view, &key, (n, needs), deadline_us);
        Ok(WaitingPut {
            asker,
            key,
            request,
            context,
            props,
            n,
            needs,
            plans,
            started_us: cx.now.mono_us,
            deadline_us,
            // The node that passed the put on took this one for its coordinator.
            passes_on: matches!(asker, Asker::Client(_)),
            elsewhere: false,
        })
    }

    /// Returns the plan of a put for each active owner set, the newest first.
    fn plans_of_put(
        &self,
        cx: &Cx,
        view: &View,
        key: &PlacedKey,
        (n, needs): (u8, Needs),
        deadline_us: u64,
    ) -> Vec<WritePlan> {
        let durability = view.bucket(key.key.bucket()).durability;
        let me = cx.config.me;
        let plan = |(primaries, mut fallbacks): (Vec<ListedNode>, Vec<ListedNode>)| {
            // A fallback that coordinates keeps the version itself, so that its hint has the actor of the next one.
            fallbacks.sort_by_key(|target| target.node != me);
            WritePlan {
                me,
                primaries,
                fallbacks,
                needs,
                durability,
                hedge_after_us: SILENT_AFTER_US.max(2 * self.write_latency.get_us()),
                send_until_us: cx.message_age.until_us(cx.now),
                deadline_us,
            }
        };
        cx.owner_sets(view, key.partition, n).into_iter().map(plan).collect()
    }
}

/// Refuses a put, which another node may carry out all the same if it is `elsewhere` too.
fn refuse_put(cx: &mut Cx, asker: Asker, failure: Failure, elsewhere: bool) {
    let maybe_applied = failure.maybe_applied || elsewhere;
    cx.refuse(asker, Failure { maybe_applied, ..failure });
}

/// Refuses a put that wants fewer acknowledgements than the bucket's `min_w`: transfers compare too few
/// owners to be sure to find it.
fn check_least(request: &PutRequest, answers: u8, props: &BucketProps) -> Result<(), Failure> {
    let least_w = props.least_w();
    if answers >= least_w {
        return Ok(());
    }
    let bucket = Escaped(request.key.bucket());
    let of_n = request.n.map(|n| format!(" of n={n}")).unwrap_or_default();
    let message = format!(
        "w={answers}{of_n} is below the bucket's min_w={least_w}: a move between nodes could leave such a put \
         behind; `jedlik-admin bucket set {bucket} min_w={answers}` allows it, and transfers then wait for more of \
         the old owners"
    );
    Err(Failure::new(ErrorCode::InvalidRequest, message))
}
