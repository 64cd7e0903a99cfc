//! Checks of what a scan shows of a key against the promises.
//!
//! Invariant: a scan leaves out dead versions and does not say so, so any delete or expiry may explain a key's absence.

use jedlik_protocol::client::Version;

use super::{History, Seen};
use crate::bits::Bits;
use crate::breach::{Breach, Promise};

impl History {
    /// Checks what a scan shows of a key against the promises, as [`Self::check_answer`] does for a get.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub(crate) fn check_scanned(
        &self,
        key: u8,
        versions: &[Version],
        before: &Bits,
        (certain, now_us): (bool, u64),
    ) -> Result<(), Breach> {
        let shown = self.shown(key, versions)?;
        self.check_ancestors(key, &shown)?;
        if !certain {
            return Ok(());
        }
        self.check_deleted(key, &shown, before)?;
        let dead = |(_, version): &(_, usize)| {
            let write = &self.writes[self.versions[*version].write];
            write.tombstone || write.expires_us.is_some_and(|at_us| at_us <= now_us)
        };
        let dead: Vec<usize> = self.dots_of(key).filter(dead).map(|(_, version)| version).collect();
        let mut seen = Seen::default();
        shown.iter().chain(&dead).for_each(|version| self.see(&mut seen, *version));
        let latest = if shown.is_empty() { &dead } else { &shown };
        let won = self.won_over(key, latest.iter());
        self.check_kept(key, before, (&seen, &won), Promise::ScanWhole)
    }
}
