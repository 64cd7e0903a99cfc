//! What a terminal gets that pipes and files don't.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::fd::OwnedFd;
use std::process::Command;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};

use crate::cluster::Cluster;
use crate::tools::run;

/// Opens a pseudoterminal; returns the end that a person sits at, and the one that a command prints to.
fn terminal() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let person = openpt(flags).unwrap();
    grantpt(&person).unwrap();
    unlockpt(&person).unwrap();
    let command = ioctl_tiocgptpeer(&person, flags).unwrap();
    (person.into(), command)
}

/// Runs a command whose standard output is a terminal, and returns what the terminal shows, with plain newlines.
fn on_terminal(mut command: Command) -> String {
    let (mut person, printed_to) = terminal();
    let mut child = command.stdout(printed_to).spawn().unwrap();
    // The command holds the terminal's other end too, and the reading ends once all have closed it.
    drop(command);
    let mut shown = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match person.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => shown.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Linux says that the other end is closed in this way.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {
                break;
            }
            Err(error) => panic!("the terminal can't be read: {error}"),
        }
    }
    assert!(child.wait().unwrap().success());
    String::from_utf8(shown).unwrap().replace("\r\n", "\n")
}

#[test]
fn a_value_ends_its_line_on_a_terminal_and_is_exact_in_a_pipe() {
    let cluster = Cluster::start();
    for (key, value, shown) in
        [("without", "tea", "tea\n"), ("with", "two\nlines\n", "two\nlines\n"), ("empty", "", "\n")]
    {
        run(cluster.jedlik(0).args(["put", "newlines", key, value])).ok();
        let get = || {
            let mut command = cluster.jedlik(0);
            command.args(["get", "newlines", key]);
            command
        };
        assert_eq!(on_terminal(get()), shown, "{key}");
        assert_eq!(run(&mut get()).ok().stdout, value, "{key}");
    }
}
