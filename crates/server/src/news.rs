//! Events of membership in the log.
//!
//! Invariant: an event that an admin may have to act upon is a warning. One that a peer can cause as often as it likes
//! gets a line when it begins, one a minute, and one at the end.

use jedlik_hashing::NodeId;
use jedlik_membership::{Event, Past};
use jedlik_trouble::{Report, Troubles};
use tracing::{info, warn};

/// Events of membership, as they are logged.
#[derive(Debug, Default)]
pub(crate) struct NewsLog {
    /// Values that were not taken over, by who sent them and what is wrong with them.
    refused: Troubles<(NodeId, String)>,
}

impl NewsLog {
    /// Logs one event of membership, unless it repeats one that was logged lately.
    pub(crate) fn add(&mut self, now_us: u64, news: &Event) {
        match news {
            Event::Refused { from, .. } => {
                let key = (*from, news.to_string());
                log_refused(self.refused.happened(now_us, &key));
            }
            Event::Contested { .. }
            | Event::Forgotten(_)
            | Event::Rival(_)
            | Event::Ousted { .. }
            | Event::Prevails { .. }
            | Event::GivenUp(_)
            | Event::Serves { past: Past::Unconfirmed | Past::Lost }
            | Event::Fenced { .. }
            | Event::Down { clean: false, .. } => {
                warn!("{news}");
            }
            Event::Joined(_)
            | Event::Up(_)
            | Event::Down { clean: true, .. }
            | Event::Layout { .. }
            | Event::Settled(_)
            | Event::Serves { past: Past::Continuous }
            | Event::Absent { .. }
            | Event::BeliefEnds
            | Event::Left
            | Event::Access { .. }
            | Event::Bucket { .. } => info!("{news}"),
        }
    }

    /// Logs which refusals have ended; to be called now and then.
    pub(crate) fn look(&mut self, now_us: u64) {
        self.refused.quiet(now_us).into_iter().for_each(|ended| log_refused(Some(ended)));
    }
}

fn log_refused(report: Option<(Option<(NodeId, String)>, Report)>) {
    let Some((key, report)) = report else { return };
    let what = key.map_or_else(|| "values of several kinds were refused".into(), |(_, what)| what);
    match report {
        Report::Began => warn!("{what}"),
        Report::Continues { times } => warn!(times, "{what}"),
        Report::Over { times: 1, .. } => {}
        Report::Over { times, lasted_s } => {
            info!(times, lasted_s, "it was not sent again for a minute: {what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use jedlik_hashing::NodeId;
    use jedlik_membership::{Event, Unacceptable};

    use super::NewsLog;
    use crate::lines::lines_of;

    #[test]
    fn gossip_that_is_refused_again_and_again_is_told_once_a_minute_with_a_count() {
        let mut log = NewsLog::default();
        let fault = Unacceptable::TooManyMembers;
        let refused = Event::Refused { from: NodeId(7), fault };
        let lines = lines_of(|| {
            for second in 0..=120 {
                log.add(second * 1_000_000, &refused);
                log.look(second * 1_000_000);
            }
            log.look(200_000_000);
        });
        assert_eq!(lines.len(), 4, "{lines:#?}");
        assert!(lines.iter().all(|line| line.contains("members already")), "{lines:#?}");
        assert!(lines[1].contains("times=60") && lines[3].contains("times=121"), "{lines:#?}");
    }
}
