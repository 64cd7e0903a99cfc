//! The state that is kept comes back, and one command at a time works in a folder.

use std::fs;

use super::{Engine, Home, State};

#[test]
fn a_saved_state_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::open(&folder.path().join("cluster")).unwrap();
    assert_eq!(home.state().unwrap(), None);
    let state = State::new(3, Engine::Redb, "programs".into()).unwrap();
    home.save(&state).unwrap();
    assert_eq!(home.state().unwrap(), Some(state));
}

#[test]
fn nodes_have_names_and_ports_of_their_own() {
    let state = State::new(3, Engine::Memory, "programs".into()).unwrap();
    let names: Vec<&str> = state.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!(names, ["n1", "n2", "n3"]);
    let mut ports: Vec<u16> = state.nodes.iter().map(|node| node.address.port()).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 3);
}

#[test]
fn a_node_that_is_not_there_is_named_with_the_range() {
    let mut state = State::new(3, Engine::Redb, "programs".into()).unwrap();
    assert_eq!(state.node(3).unwrap().name, "n3");
    for number in [0, 4] {
        let error = state.node(number).unwrap_err().to_string();
        assert_eq!(error, format!("there is no node {number}; they go from 1 to 3"));
    }
}

#[test]
fn a_second_command_is_refused_while_the_first_works() {
    let folder = tempfile::tempdir().unwrap();
    let first = Home::open(folder.path()).unwrap();
    let error = Home::open(folder.path()).unwrap_err().to_string();
    assert!(error.starts_with("another command is at work in"), "{error}");
    drop(first);
    Home::open(folder.path()).unwrap();
}

#[test]
fn wiping_spares_a_folder_that_holds_no_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let letters = folder.path().join("letters.txt");
    fs::write(&letters, "dear").unwrap();
    Home::open(folder.path()).unwrap().wipe().unwrap_err();
    assert!(letters.exists());

    let made = folder.path().join("made");
    let home = Home::open(&made).unwrap();
    home.save(&State::new(1, Engine::Redb, "programs".into()).unwrap()).unwrap();
    assert!(home.wipe().unwrap());
    assert!(!made.exists());
    assert!(!Home::open(&made).unwrap().wipe().unwrap(), "wiping twice is no error");
}
