//! Reports of the shards, for all who ask: a question takes a turn of every shard, and anybody may ask.
//!
//! Invariant: a question is answered from reports that were begun after it. Shards are asked at most once an interval,
//! and past a limit of questions that wait, further ones are refused.

use std::sync::Arc;
use std::time::Duration;

use jedlik_door::Measures;
use jedlik_protocol::error::{ErrorCode, Failure};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::inbox::Inbox;
use crate::stats::{self, ShardReport};

/// Number of questions that may wait for reports at a time.
const QUESTIONS_MAX: usize = 64;
/// Time between two rounds of reports.
const INTERVAL: Duration = Duration::from_millis(50);

/// Reports that were collected last, and the time at which that began.
struct Round {
    began: Instant,
    reports: Arc<[ShardReport]>,
}

/// Collector of the shards' reports.
pub(crate) struct Reports {
    pub(crate) shards: Vec<Inbox>,
    places: Arc<Semaphore>,
    last: Mutex<Option<Round>>,
}

impl Reports {
    pub(crate) fn of(shards: Vec<Inbox>) -> Self {
        let places = Arc::new(Semaphore::new(QUESTIONS_MAX));
        Self { shards, places, last: Mutex::const_new(None) }
    }

    /// Returns a place for a question, to be kept until the question is answered.
    ///
    /// # Errors
    /// Too many questions wait already.
    pub(crate) fn admit(&self) -> Result<OwnedSemaphorePermit, Failure> {
        Arc::clone(&self.places).try_acquire_owned().map_err(|_| {
            let message =
                format!("{QUESTIONS_MAX} questions wait for this node's shards; ask again later");
            Failure::new(ErrorCode::Overloaded, message)
        })
    }

    /// Returns reports of the shards that are begun after this call. Questions that come during a round wait for the
    /// next one together.
    pub(crate) async fn now(&self) -> Arc<[ShardReport]> {
        let asked = Instant::now();
        let mut last = self.last.lock().await;
        if let Some(round) = &*last {
            if round.began >= asked {
                return Arc::clone(&round.reports);
            }
            sleep_until(round.began + INTERVAL).await;
        }
        let began = Instant::now();
        let reports: Arc<[ShardReport]> = stats::collect(&self.shards).await.into();
        *last = Some(Round { began, reports: Arc::clone(&reports) });
        reports
    }

    /// Reads what the shards have measured; nothing while too many questions wait for them.
    pub(crate) async fn measures(&self) -> Measures {
        match self.admit() {
            Ok(_kept_until_it_is_answered) => stats::measures(&self.now().await),
            Err(_) => Measures::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;
    use std::time::Duration;

    use jedlik_protocol::admin::TroubleKind;
    use tokio::time::timeout;

    use super::{QUESTIONS_MAX, Reports};
    use crate::inbox::{InboxLimits, Mail, inbox};
    use crate::pool::Pool;
    use crate::stats::ShardReport;

    const LIMITS: InboxLimits = InboxLimits { inputs: 16, stall_after: Duration::from_secs(60) };
    const LONG: Duration = Duration::from_secs(60);

    /// Returns the reports of a shard that says how often it was asked, and that number.
    fn counting() -> (Arc<Reports>, Arc<AtomicU64>) {
        let (sender, reader) = inbox(LIMITS, Pool::new(1 << 20, 1).share());
        let asked = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&asked);
        thread::spawn(move || {
            while let Some(mail) = reader.next(LONG) {
                match mail {
                    Mail::Report(to) => {
                        let refusals = count.fetch_add(1, Ordering::SeqCst) + 1;
                        let _gone = to.send(ShardReport { refusals, ..ShardReport::default() });
                    }
                    _ => return,
                }
            }
        });
        (Arc::new(Reports::of(vec![sender])), asked)
    }

    #[tokio::test]
    async fn a_flood_of_questions_takes_few_turns_and_each_is_told_what_is_newer_than_itself() {
        let (reports, asked) = counting();
        let mut tasks = Vec::new();
        for _ in 0..1_000 {
            let (reports, asked) = (Arc::clone(&reports), Arc::clone(&asked));
            tasks.push(tokio::spawn(async move {
                let before = asked.load(Ordering::SeqCst);
                let told = reports.now().await;
                assert!(told[0].refusals > before, "it was begun after the question");
            }));
        }
        for task in tasks {
            timeout(LONG, task).await.expect("all are answered").unwrap();
        }
        let turns = asked.load(Ordering::SeqCst);
        assert!(turns <= 4, "{turns} turns for 1,000 questions");
    }

    #[tokio::test]
    async fn a_shard_that_stands_still_is_reported_as_such_and_holds_no_report_up() {
        let (still, reader) = inbox(
            InboxLimits { stall_after: Duration::from_millis(1), ..LIMITS },
            Pool::new(1 << 20, 1).share(),
        );
        // It begins with something, and does not come back.
        still.push(Mail::Believe);
        assert!(reader.take().is_some());
        let (counting, _) = counting();
        let shards = vec![still, counting.shards[0].clone()];
        let told = timeout(LONG, Reports::of(shards).now()).await.expect("nobody is waited for");
        assert!(!told[0].serves && told[0].troubles[0].kind == TroubleKind::Stalled);
        assert_eq!(told[1].refusals, 1);
        assert!(reader.take().is_none_or(|mail| matches!(mail, Mail::Report(_))));
    }

    #[tokio::test]
    async fn more_questions_than_have_a_place_are_refused() {
        let (reports, _) = counting();
        let places: Vec<_> = (0..QUESTIONS_MAX).map(|_| reports.admit().unwrap()).collect();
        assert!(reports.admit().is_err());
        drop(places);
        assert!(reports.admit().is_ok());
    }
}
