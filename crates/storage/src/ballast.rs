//! Room on the disk that is given back when a start finds none: a file of zeros.
//!
//! Invariant: it holds nothing, so it may be removed at any time. A start that used it makes it again before anything
//! else takes the room, a little shorter if need be.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Name of the ballast in the data directory.
pub(crate) const BALLAST: &str = "ballast";
/// Length of the ballast where there is room: many starts need no more, with journals to be replayed.
const BALLAST_BYTES: u64 = 8 << 20;
/// Free room below which a start gives the ballast up first. So much stays free when the ballast is made.
const SHORT_BYTES: u64 = 1 << 20;
const PIECE_BYTES: usize = 64 << 10;

/// Removes the ballast if hardly any other room is free.
pub(crate) fn give_up_if_short(directory: &Path) -> io::Result<()> {
    if free_bytes(directory)? >= SHORT_BYTES {
        return Ok(());
    }
    match fs::remove_file(directory.join(BALLAST)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes the ballast as long as it should be, or as the free room allows. A disk that fills up meanwhile is left with
/// what the ballast had.
pub(crate) fn make(directory: &Path) -> io::Result<()> {
    let path = directory.join(BALLAST);
    let has = fs::metadata(&path).map_or(0, |file| file.len());
    let room = has + free_bytes(directory)?.saturating_sub(SHORT_BYTES);
    let wanted = BALLAST_BYTES.min(room);
    if wanted <= has {
        return Ok(());
    }
    let mut file = File::options().create(true).append(true).open(&path)?;
    let zeros = [0; PIECE_BYTES];
    let mut left = (wanted - has) as usize;
    while left > 0 {
        // Written and not only claimed: a file with holes takes no room.
        let piece = &zeros[..left.min(PIECE_BYTES)];
        file.write_all(piece)?;
        left -= piece.len();
    }
    file.sync_all()
}

fn free_bytes(directory: &Path) -> io::Result<u64> {
    let system = rustix::fs::statvfs(directory)?;
    Ok(system.f_bavail.saturating_mul(system.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    use super::{BALLAST, BALLAST_BYTES, give_up_if_short, make};

    #[test]
    fn it_takes_room_that_is_there_and_is_kept_while_there_is_other() {
        let directory = tempfile::tempdir().unwrap();
        make(directory.path()).unwrap();
        make(directory.path()).unwrap();
        let file = fs::metadata(directory.path().join(BALLAST)).unwrap();
        assert_eq!(file.len(), BALLAST_BYTES);
        assert!(file.blocks() * 512 >= BALLAST_BYTES, "zeros are written");
        give_up_if_short(directory.path()).unwrap();
        assert!(directory.path().join(BALLAST).exists());
    }
}
