//! Files that are replaced whole, and those that are given up.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::{AtomicFile, Readers, write};

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
    let mut names: Vec<String> = entries.map(|entry| name(entry).unwrap()).collect();
    names.sort_unstable();
    names
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn the_old_file_stays_until_the_new_one_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump");
    fs::write(&path, "yesterday").unwrap();
    let mut file = AtomicFile::create(&path, Readers::AsBefore).unwrap();
    file.write_all(b"today").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"yesterday");
    file.commit().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"today");
    assert_eq!(names(folder.path()), ["dump"]);
}

#[test]
fn a_file_that_is_given_up_leaves_nothing_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump");
    fs::write(&path, "yesterday").unwrap();
    let mut file = AtomicFile::create(&path, Readers::AsBefore).unwrap();
    file.write_all(b"half").unwrap();
    drop(file);
    assert_eq!(fs::read(&path).unwrap(), b"yesterday");
    assert_eq!(names(folder.path()), ["dump"]);
}

#[test]
fn what_a_killed_writer_left_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump");
    fs::write(folder.path().join(".dump.unfinished"), "a long half of a dump").unwrap();
    write(&path, Readers::AsBefore, b"short").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"short");
    assert_eq!(names(folder.path()), ["dump"]);
}

#[test]
fn a_second_writer_of_the_same_file_is_refused_and_harms_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dump");
    let mut first = AtomicFile::create(&path, Readers::AsBefore).unwrap();
    let error = AtomicFile::create(&path, Readers::AsBefore).unwrap_err();
    assert!(error.to_string().contains("another process"), "{error}");
    first.write_all(b"first").unwrap();
    first.commit().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"first");
}

#[test]
fn secrets_are_their_owners_alone_and_other_files_keep_who_may_read_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    for leftover in [".key.unfinished", "key"] {
        let path = folder.path().join(leftover);
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    write(&path, Readers::Owner, b"secret").unwrap();
    assert_eq!(mode(&path), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    write(&path, Readers::AsBefore, b"other").unwrap();
    assert_eq!(mode(&path), 0o640);
}

#[test]
fn a_link_stays_and_what_it_leads_to_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("dump"), folder.path().join("latest"));
    fs::write(&path, "yesterday").unwrap();
    symlink("dump", &link).unwrap();
    write(&link, Readers::AsBefore, b"today").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&path).unwrap(), b"today");
}

#[test]
fn what_is_no_regular_file_is_written_directly() {
    write(Path::new("/dev/null"), Readers::AsBefore, b"gone").unwrap();
    assert!(write(Path::new("/dev/full"), Readers::AsBefore, b"gone").is_err());
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}
