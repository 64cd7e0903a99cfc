//! Events of membership in the log.
//!
//! Invariant: an event that an admin may have to act upon is a warning.

use jedlik_membership::{Event as News, Past};
use tracing::{info, warn};

pub(crate) fn log(news: &News) {
    match news {
        News::Refused { .. }
        | News::Contested { .. }
        | News::Forgotten(_)
        | News::Rival(_)
        | News::Ousted { .. }
        | News::Prevails { .. }
        | News::GivenUp(_)
        | News::Serves { past: Past::Unconfirmed | Past::Lost }
        | News::Fenced { .. }
        | News::Down { clean: false, .. } => {
            warn!("{news}");
        }
        News::Joined(_)
        | News::Up(_)
        | News::Down { clean: true, .. }
        | News::Layout { .. }
        | News::Settled(_)
        | News::Serves { past: Past::Continuous }
        | News::Absent { .. }
        | News::BeliefEnds
        | News::Left
        | News::Bucket { .. } => info!("{news}"),
    }
}
