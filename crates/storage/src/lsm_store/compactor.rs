//! Thread that merges tables and takes off values that nobody needs any more.
//!
//! Invariant: it works in steps, each of which may be cut short, and rests between them. What goes wrong here is damage
//! that the engine's next call reports, or a trouble that is logged; never a panic of the process.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::setpriority_process;

use crate::StoreError;
use crate::guarded::guarded;

use super::engine::{Engine, HURRY_RUNS};
use super::garbage::Garbage;

const DOING: &str = "merging the engine's tables";
/// Time after which a merge is begun again that was cut short for a moment.
const CUT_SHORT_PAUSE: Duration = Duration::from_millis(20);
/// Time after which what failed is tried again.
const RETRY: Duration = Duration::from_secs(5);

/// Niceness of the thread: whoever answers requests goes first.
const NICENESS: i32 = 10;

/// Outcome of a step.
pub(super) enum Step {
    /// Something was done, and there may be more.
    Done,
    /// There is more to do, from this time on or once something was written.
    Later(Instant),
    /// Nothing is left to do.
    Idle,
}

/// Handle of the thread.
pub(super) struct Compactor {
    thread: JoinHandle<()>,
}

impl Compactor {
    pub(super) fn start(engine: &Arc<Engine>) -> io::Result<Self> {
        let engine = Arc::clone(engine);
        // The last process may have left something to merge.
        engine.pace.wake();
        let thread = thread::Builder::new().name("compactor".into()).spawn(move || {
            engine.pace.begin();
            // On Linux this is about the calling thread. Where it is refused, merges take their turns like any other.
            let _ = setpriority_process(None, NICENESS);
            run(&engine);
            engine.pace.end();
        })?;
        Ok(Self { thread })
    }

    /// Waits for the thread, which was told to stop.
    pub(super) fn join(self) {
        let _ = self.thread.join();
    }
}

fn run(engine: &Engine) {
    let mut garbage = Garbage::default();
    while engine.pace.wait() {
        loop {
            let began = Instant::now();
            engine.merges.works(true);
            let stepped = guarded(|| step(engine, &mut garbage));
            engine.merges.works(false);
            match stepped {
                Ok(Ok(Step::Done)) => engine.pace.rest_after(began),
                Ok(Ok(Step::Later(time))) if engine.pace.wait_until(time) => {}
                Ok(Ok(Step::Later(_))) => return,
                Ok(Ok(Step::Idle)) => break,
                Ok(Err(failure)) => match failed(engine, &failure) {
                    Some(pause) if !engine.pace.is_stopped() => engine.pace.rest(pause),
                    _ => return,
                },
                Err(what) => {
                    let _ = engine.damage.set(StoreError::EngineDamaged { doing: DOING, what });
                    return;
                }
            }
        }
    }
}

/// Takes one step of merging, or else of taking off values that nobody needs.
fn step(engine: &Engine, garbage: &mut Garbage) -> Result<Step, StoreError> {
    if engine.pace.is_stopped() {
        return Ok(Step::Idle);
    }
    let changed = engine.with(DOING, |opened| {
        let changed = engine.merges.add(opened.compact()?);
        engine.pace.hurry(opened.waiting_runs() > HURRY_RUNS);
        Ok(changed)
    })?;
    let step = if changed { Step::Done } else { garbage.step(engine)? };
    engine.compactions.works();
    Ok(step)
}

/// Notes what went wrong. Returns how long to wait before the next attempt; `None` if that ends the thread.
fn failed(engine: &Engine, failure: &StoreError) -> Option<Duration> {
    if failure.is_damage() {
        return None;
    }
    if engine.pace.was_cut_short() {
        return Some(CUT_SHORT_PAUSE);
    }
    engine.compactions.happened(failure);
    // What was written of the merge goes when the tree is opened.
    engine.close();
    Some(RETRY)
}
