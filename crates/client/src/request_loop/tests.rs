//! Requests to slow and silent nodes, on virtual time.

use std::cell::Cell;
use std::future::pending;
use std::pin::pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jedlik_protocol::admin::AdminRequest;
use jedlik_protocol::client::{ClientRequest, ClientResponse, Topology};
use jedlik_protocol::error::{ErrorCode, Failure};
use jedlik_protocol::{ClusterId, Digest, Key, LayoutVersion};
use tokio::time::{Instant as TokioInstant, sleep, timeout, timeout_at};

use super::{Idempotency, Nodes, RequestSpec, now, run};
use crate::calls::Answer;
use crate::in_flight::Allotment;
use crate::retry::Budget;
use crate::routes::{Route, Target};
use crate::{AttemptError, ClientError};

/// Behaviour of a node, whatever the request.
#[derive(Debug, Clone, Copy)]
enum Habit {
    /// Answers after this many milliseconds.
    After(u64),
    /// Refuses with this code after this many milliseconds.
    Refuses(u64, ErrorCode),
    /// Announces the answer after the first number of milliseconds, and sends it after the second.
    Announces(u64, u64),
    /// Never answers at all.
    Silent,
}

/// Scripted nodes on ports 1, 2, …, which are asked in this order.
struct Scripted {
    start: TokioInstant,
    habits: Vec<Habit>,
    /// Ports of nodes that are slow with this request and yet answer others.
    talking: Vec<u16>,
    hedges: Mutex<u32>,
    asked: Mutex<Vec<(u64, u16)>>,
    suspected: Mutex<Vec<u16>>,
    took: Mutex<Vec<(u16, u64)>>,
}

impl Scripted {
    fn new(habits: &[Habit]) -> Self {
        Self {
            start: TokioInstant::now(),
            habits: habits.to_vec(),
            talking: Vec::new(),
            hedges: Mutex::new(0),
            asked: Mutex::default(),
            suspected: Mutex::default(),
            took: Mutex::default(),
        }
    }

    fn elapsed_ms(&self) -> u64 {
        self.start.elapsed().as_millis().try_into().unwrap()
    }

    /// Returns when each node was asked, in milliseconds from the start, and its port.
    fn asked(&self) -> Vec<(u64, u16)> {
        self.asked.lock().unwrap().clone()
    }

    fn suspected(&self) -> Vec<u16> {
        self.suspected.lock().unwrap().clone()
    }
}

fn port(target: Target) -> u16 {
    target.address.port()
}

fn answer(response: ClientResponse) -> Answer {
    Answer { layout: 1, response }
}

fn good() -> ClientResponse {
    let cluster = ClusterId(1);
    ClientResponse::Topology(Topology { cluster, layout: None, members: Vec::new() })
}

impl Nodes for Scripted {
    fn order(&self, _: Route<'_>) -> Vec<Target> {
        let ports = 1..=u16::try_from(self.habits.len()).unwrap();
        let mut order: Vec<Target> = ports
            .map(|port| Target { node: None, address: ([127, 0, 0, 1], port).into() })
            .collect();
        let suspected = self.suspected();
        order.sort_by_key(|target| suspected.contains(&port(*target)));
        order
    }

    async fn ask(
        &self,
        target: Target,
        _: ClientRequest,
        Allotment { share, latest, coming }: Allotment,
    ) -> Result<Answer, AttemptError> {
        let (port, address) = (port(target), target.address);
        self.asked.lock().unwrap().push((self.elapsed_ms(), port));
        let answered = async {
            match self.habits[usize::from(port) - 1] {
                Habit::After(ms) => {
                    sleep(Duration::from_millis(ms)).await;
                    answer(good())
                }
                Habit::Refuses(ms, code) => {
                    sleep(Duration::from_millis(ms)).await;
                    answer(ClientResponse::Failed(Failure::new(code, "as the test wants it")))
                }
                Habit::Announces(coming_ms, ms) => {
                    sleep(Duration::from_millis(coming_ms)).await;
                    coming.announce();
                    sleep(Duration::from_millis(ms - coming_ms)).await;
                    answer(good())
                }
                Habit::Silent => pending().await,
            }
        };
        let silent = AttemptError::Silent { address, after: share };
        let mut answered = pin!(answered);
        match timeout(share, &mut answered).await {
            Err(_) if coming.is_announced() => timeout_at(latest.into(), answered).await,
            other => other,
        }
        .map_err(|_| silent)
    }

    fn delay(&self, _: Target) -> Duration {
        Duration::from_millis(150)
    }

    fn is_silent(&self, target: Target, _: Instant, _: Duration) -> bool {
        !self.talking.contains(&port(target))
    }

    fn may_hedge(&self) -> bool {
        let mut hedges = self.hedges.lock().unwrap();
        *hedges = hedges.saturating_sub(1);
        *hedges > 0
    }

    fn took(&self, target: Target, time: Duration) {
        self.took.lock().unwrap().push((port(target), time.as_millis().try_into().unwrap()));
    }

    fn answered_under(&self, _: LayoutVersion) {}

    fn outdated(&self) {}

    fn is_suspect(&self, target: Target) -> bool {
        self.suspected().contains(&port(target))
    }

    fn suspect(&self, target: Target) {
        self.suspected.lock().unwrap().push(port(target));
    }
}

/// Runs a writing request for a key, with attempts of a second and five seconds in all.
async fn ask(nodes: &Scripted, idempotency: Idempotency) -> Result<ClientResponse, ClientError> {
    let commit = AdminRequest::Commit { plan: Digest(1), lost: 0, dry_run: false };
    ask_for(nodes, idempotency, ClientRequest::Admin(commit)).await
}

/// Runs a reading request, otherwise as [`ask`] does.
async fn look(nodes: &Scripted) -> Result<ClientResponse, ClientError> {
    ask_for(nodes, Idempotency::Idempotent, ClientRequest::Topology).await
}

async fn ask_for(
    nodes: &Scripted,
    idempotency: Idempotency,
    request: ClientRequest,
) -> Result<ClientResponse, ClientError> {
    let key = Key::new("b", "k").unwrap();
    let timeout = Duration::from_secs(5);
    let spec = RequestSpec { route: Route::Key(&key), idempotency, timeout };
    let budget = Budget::new(now(), timeout, Duration::from_secs(1));
    run(nodes, spec, budget, |_| request.clone()).await
}

#[tokio::test(start_paused = true)]
async fn a_node_that_answers_in_time_is_the_only_one_asked() {
    let nodes = Scripted::new(&[Habit::After(149), Habit::After(1)]);
    look(&nodes).await.unwrap();
    assert_eq!(nodes.asked(), [(0, 1)]);
    assert_eq!(*nodes.took.lock().unwrap(), [(1, 149)]);
    assert!(nodes.suspected().is_empty());
}

/// Habits of the nodes; the times and ports of the requests; the time of the answer; the suspect nodes at the end.
type Case = (&'static [Habit], &'static [(u64, u16)], u64, &'static [u16]);

#[tokio::test(start_paused = true)]
async fn silent_nodes_cost_their_delays_and_not_their_shares() {
    let cases: [Case; 4] = [
        (&[Habit::Silent, Habit::After(5)], &[(0, 1), (150, 2)], 155, &[1]),
        (
            &[Habit::Silent, Habit::Silent, Habit::After(5)],
            &[(0, 1), (150, 2), (300, 3)],
            305,
            &[1, 2],
        ),
        (&[Habit::After(160), Habit::Silent], &[(0, 1), (150, 2)], 160, &[]),
        (&[Habit::After(200), Habit::After(20)], &[(0, 1), (150, 2)], 170, &[1]),
    ];
    for (habits, asked, took, suspected) in cases {
        let nodes = Scripted::new(habits);
        look(&nodes).await.unwrap();
        assert_eq!(nodes.asked(), asked, "{habits:?}");
        assert_eq!(nodes.elapsed_ms(), took, "{habits:?}");
        assert_eq!(nodes.suspected(), suspected, "{habits:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_nodes_still_answer_in_the_end() {
    // No attempt is given up for a node that was asked before, so the two that are left finish.
    let nodes = Scripted::new(&[Habit::After(900); 5]);
    look(&nodes).await.unwrap();
    let ports: Vec<u16> = nodes.asked().into_iter().map(|(_, port)| port).collect();
    assert_eq!(ports, [1, 2, 3, 4, 5]);
    assert!(nodes.elapsed_ms() < 1_500, "{} ms", nodes.elapsed_ms());
}

#[tokio::test(start_paused = true)]
async fn the_only_node_that_is_left_is_not_given_up_for_suspect_ones() {
    // The node may itself wait for the others before it takes a write alone.
    let nodes = Scripted {
        suspected: Mutex::new(vec![4, 5]),
        ..Scripted::new(&[
            Habit::Silent,
            Habit::Silent,
            Habit::After(700),
            Habit::Silent,
            Habit::Silent,
        ])
    };
    ask(&nodes, Idempotency::Idempotent).await.unwrap();
    assert_eq!(nodes.asked(), [(0, 1), (200, 2), (400, 3), (600, 4), (800, 5)]);
    assert_eq!(nodes.elapsed_ms(), 1_100);
}

#[tokio::test(start_paused = true)]
async fn a_slow_node_that_answers_others_is_hedged_past_only_while_hedges_are_left() {
    for (hedges, asked, took) in [(0, vec![(0, 1)], 800), (2, vec![(0, 1), (150, 2)], 155)] {
        let nodes = Scripted {
            talking: vec![1, 2],
            hedges: Mutex::new(hedges),
            ..Scripted::new(&[Habit::After(800), Habit::After(5), Habit::After(5)])
        };
        look(&nodes).await.unwrap();
        assert_eq!((nodes.asked(), nodes.elapsed_ms()), (asked, took));
        assert!(nodes.suspected().is_empty(), "who answers others is not suspect");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_announced_is_waited_for_and_asked_for_nowhere_else() {
    let cases = [
        (Habit::Announces(100, 3_000), vec![(0, 1)], 3_000),
        (Habit::After(3_000), vec![(0, 1), (150, 2)], 155),
    ];
    for (habit, asked, took) in cases {
        let nodes = Scripted {
            talking: vec![1, 2],
            hedges: Mutex::new(9),
            ..Scripted::new(&[habit, Habit::After(5)])
        };
        look(&nodes).await.unwrap();
        assert_eq!((nodes.asked(), nodes.elapsed_ms()), (asked, took));
    }
    // From here on nothing is heard of the node.
    let nodes = Scripted::new(&[Habit::Announces(100, 3_000), Habit::After(5)]);
    look(&nodes).await.unwrap();
    assert_eq!((nodes.asked(), nodes.elapsed_ms()), (vec![(0, 1), (150, 2)], 155));
}

#[tokio::test(start_paused = true)]
async fn a_write_waits_longer_and_goes_past_no_node_that_answers_others() {
    for (talking, asked, took) in
        [(vec![1, 2], vec![(0, 1)], 800), (vec![2], vec![(0, 1), (200, 2)], 205)]
    {
        let nodes = Scripted {
            talking,
            hedges: Mutex::new(9),
            ..Scripted::new(&[Habit::After(800), Habit::After(5)])
        };
        ask(&nodes, Idempotency::Idempotent).await.unwrap();
        assert_eq!((nodes.asked(), nodes.elapsed_ms()), (asked, took));
    }
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_done_twice_is_at_one_node_only() {
    let nodes = Scripted::new(&[Habit::Silent, Habit::After(5)]);
    let error = ask(&nodes, Idempotency::OnceOnly).await.unwrap_err();
    assert!(error.maybe_applied(), "{error}");
    assert_eq!((nodes.asked(), nodes.elapsed_ms()), (vec![(0, 1)], 1_000));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_beside_a_silent_node_goes_on_at_the_next() {
    let refuses = Habit::Refuses(5, ErrorCode::Overloaded);
    let nodes = Scripted::new(&[Habit::Silent, refuses, Habit::After(5)]);
    ask(&nodes, Idempotency::Idempotent).await.unwrap();
    let asked = nodes.asked();
    assert_eq!(asked[..2], [(0, 1), (200, 2)]);
    assert!(matches!(asked[2], (205..=215, 3)), "{asked:?}");
    assert!(nodes.elapsed_ms() < 225);
}

#[tokio::test(start_paused = true)]
async fn a_final_refusal_says_that_another_node_may_have_done_it() {
    let refuses = Habit::Refuses(5, ErrorCode::TooManySiblings);
    for (habits, maybe) in [(vec![Habit::Silent, refuses], true), (vec![refuses], false)] {
        let nodes = Scripted::new(&habits);
        let error = ask(&nodes, Idempotency::Idempotent).await.unwrap_err();
        assert!(matches!(error, ClientError::Refused(_)), "{error}");
        assert_eq!(error.maybe_applied(), maybe);
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_passes_its_deadline_whatever_the_nodes_do() {
    let refuses = Habit::Refuses(3, ErrorCode::Unavailable);
    let cases: [(&[Habit], &str); 4] = [
        (&[], "timeout"),
        (&[Habit::Silent; 1], "timeout"),
        (&[Habit::Silent; 4], "timeout"),
        (&[Habit::Silent, refuses, Habit::Silent], "unavailable"),
    ];
    for (habits, name) in cases {
        let nodes = Scripted::new(habits);
        let error = ask(&nodes, Idempotency::Idempotent).await.unwrap_err();
        assert_eq!((error.name(), nodes.elapsed_ms()), (name, 5_000), "{habits:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_most_two_nodes_have_a_request_at_once() {
    let most = Cell::new(0);
    for count in 1..6 {
        let nodes = Scripted::new(&vec![Habit::Silent; count]);
        let _ = ask(&nodes, Idempotency::Idempotent).await;
        // Each attempt lasts a second, unless it was dropped for the next but one.
        let asked = nodes.asked();
        for (index, (at, _)) in asked.iter().enumerate() {
            let until = asked.get(index + 2).map_or(at + 1_000, |(next, _)| *next);
            let open =
                asked.iter().filter(|(other, _)| at <= other && *other < until.min(at + 1_000));
            most.set(most.get().max(open.count()));
        }
    }
    assert_eq!(most.get(), 2);
}
