//! File descriptors of the process: as many as the system lets it have.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

/// Number that is taken for granted where the system names no limit.
const MANY: u64 = 1 << 20;

/// Raises the number of descriptors that the process may have to the most that the system lets it have, and returns
/// that. The usual limit is for programs that wait with `select`.
pub(crate) fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: maximum, maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        debug!(%error, "the number of file descriptors stays as it was");
        return current.unwrap_or(MANY);
    }
    maximum.unwrap_or(MANY)
}

/// Returns the number of descriptors that the process may have; 0 where the system names no limit.
pub(crate) fn limit() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(0)
}

/// Returns the number of descriptors that the process has; 0 where the system doesn't tell.
pub(crate) fn open() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

/// Returns the number of connections by which a door leaves half of its share of the descriptors to the rest of the node.
pub(crate) fn connections(usual: usize, descriptors: u64) -> usize {
    usual.min(usize::try_from(descriptors / 2).unwrap_or(usual)).max(1)
}

#[cfg(test)]
mod tests {
    use super::connections;

    #[test]
    fn connections_leave_half_of_the_descriptors() {
        for (descriptors, expected) in [(20_000, 4_096), (1_024, 512), (0, 1)] {
            assert_eq!(connections(4_096, descriptors), expected);
        }
    }
}
