//! What is printed of a cluster that is up: its nodes, their doors, and the commands to go on with.

use super::home::{Home, State};

/// Returns the text. Its commands name the folder unless it is the usual one, which all find.
pub(super) fn shown(home: &Home, state: &State, is_usual: bool) -> String {
    format!(
        "{}\nDoors, on this machine only; each node has HTTP at the TCP port of its own number:\n{}\nNext:\n{}",
        nodes(home, state),
        doors(state),
        commands(home, state, is_usual),
    )
}

fn nodes(home: &Home, state: &State) -> String {
    let line = |node| {
        let log = home.node_path(node, "log");
        format!("  {}  {}  log {}\n", node.name, node.address, log.display())
    };
    state.nodes.iter().map(line).collect()
}

fn doors(state: &State) -> String {
    let mut lines = String::new();
    if let Some(first) = state.nodes.first() {
        let http = format!("http://{}", first.address);
        for (name, path) in
            [("page   ", "ui"), ("metrics", "metrics"), ("OpenAPI", "v1/openapi.json")]
        {
            lines += &format!("  {name}  {http}/{path}\n");
        }
    }
    let riak_pb: Vec<String> =
        state.nodes.iter().filter_map(|node| Some(node.riak_pb?.to_string())).collect();
    if !riak_pb.is_empty() {
        lines += &format!("  Riak's Protocol Buffers  {}\n", riak_pb.join(", "));
    }
    lines
}

fn commands(home: &Home, state: &State, is_usual: bool) -> String {
    let (profile, folder) = if is_usual {
        (String::new(), String::new())
    } else {
        let profile = home.path("profile.toml");
        let profile = format!("  export JEDLIK_PROFILE={}\n", profile.display());
        (profile, format!(" --dir {}", home.folder().display()))
    };
    let door = state.nodes.first().map(|node| node.address);
    let curl = door.map(|door| format!("  curl http://{door}/v1/buckets/carts/keys/alice\n"));
    format!(
        "  export PATH={}:$PATH\n\
         {profile}  jedlik put carts alice '{{\"tea\":1}}'\n  \
         jedlik get carts alice\n\
         {}  jedlik-admin --profile {} cluster status\n  \
         cargo xtask cluster{folder} down\n",
        state.binaries.display(),
        curl.unwrap_or_default(),
        home.path("admin.toml").display(),
    )
}

#[cfg(test)]
mod tests {
    use super::super::home::{Engine, Home, State};
    use super::shown;

    fn cluster() -> (tempfile::TempDir, Home, State) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(folder.path()).unwrap();
        (folder, home, State::new(2, Engine::Redb, "/programs".into()).unwrap())
    }

    #[test]
    fn the_next_commands_find_a_cluster_in_another_folder_than_the_usual_one() {
        let (folder, home, state) = cluster();
        let usual = shown(&home, &state, true);
        assert!(!usual.contains("JEDLIK_PROFILE") && !usual.contains("--dir"), "{usual}");
        let other = shown(&home, &state, false);
        let folder = folder.path().canonicalize().unwrap();
        let folder = folder.display();
        for words in [
            format!("\n  export JEDLIK_PROFILE={folder}/profile.toml\n  jedlik put"),
            format!("cargo xtask cluster --dir {folder} down"),
        ] {
            assert!(other.contains(&words), "no {words:?} in {other}");
        }
    }

    #[test]
    fn every_door_is_named() {
        let (_folder, home, mut state) = cluster();
        assert!(!shown(&home, &state, true).contains("Riak"), "no node has been started");
        for node in &mut state.nodes {
            node.have_doors().unwrap();
        }
        let text = shown(&home, &state, true);
        let http = format!("http://{}", state.nodes[0].address);
        let riak_pb = state.nodes.iter().map(|node| node.riak_pb.unwrap().to_string());
        for words in [
            format!("page     {http}/ui\n"),
            format!("metrics  {http}/metrics\n"),
            format!("curl {http}/v1/buckets/carts/keys/alice\n"),
            format!("Protocol Buffers  {}\n", riak_pb.collect::<Vec<_>>().join(", ")),
        ] {
            assert!(text.contains(&words), "no {words:?} in {text}");
        }
    }
}
