//! The search for profiles, and the messages about invalid ones.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Environment, Overrides, Profile, ProfileError};
use crate::in_one_line;

const TEXT: &str =
    "seeds = [\"127.0.0.1:7101\"]\nca = \"ca.pem\"\ncert = \"/abs/c.pem\"\nkey = \"k.key\"\n";

fn write(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, TEXT).unwrap();
}

fn around(directory: &Path) -> Environment {
    Environment {
        variable: None,
        directory: directory.into(),
        config_home: Some(directory.join("config")),
    }
}

#[test]
fn a_profile_is_found_in_the_order_variable_folder_parents_settings() {
    let root = tempfile::tempdir().unwrap();
    let deep = root.path().join("a/b");
    fs::create_dir_all(&deep).unwrap();
    let mut here = around(&deep);

    write(&deep.join("config/jedlik/profile.toml"));
    assert_eq!(here.find().unwrap(), deep.join("config/jedlik/profile.toml"));
    write(&root.path().join(".jedlik/profile.toml"));
    assert_eq!(here.find().unwrap(), root.path().join(".jedlik/profile.toml"));
    write(&deep.join(".jedlik/profile.toml"));
    assert_eq!(here.find().unwrap(), deep.join(".jedlik/profile.toml"));
    here.variable = Some("named.toml".into());
    assert_eq!(here.find().unwrap(), deep.join("named.toml"));
}

#[test]
fn a_missing_profile_says_where_it_looked_and_what_to_do() {
    let around = around(Path::new("/nowhere/a/b"));
    let error = Profile::load(Overrides::default(), &around).unwrap_err();
    let expected = r#"no profile says where the cluster is
looked for:
  /nowhere/a/b/.jedlik/profile.toml, and in each folder above
  /nowhere/a/b/config/jedlik/profile.toml
do one of these:
  go to the folder where `cargo xtask cluster up` started a cluster
  name a profile with --profile FILE, or with $JEDLIK_PROFILE
  give a seed and all three certificate files as flags: see --help
  make a profile of these four lines; its paths are relative to the file:
    seeds = ["127.0.0.1:7101"]
    ca = "ca.pem"
    cert = "cert.pem"
    key = "key.pem""#;
    assert_eq!(in_one_line(&error), expected, "nothing is said twice");
}

#[test]
fn relative_paths_start_at_the_profile_and_flags_win() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("p.toml");
    write(&path);
    let overrides =
        Overrides { profile: Some(path), key: Some("flag.key".into()), ..Overrides::default() };
    let profile = Profile::load(overrides, &around(root.path())).unwrap();
    assert_eq!(profile.ca, root.path().join("ca.pem"));
    assert_eq!(profile.cert, PathBuf::from("/abs/c.pem"));
    assert_eq!(profile.key, PathBuf::from("flag.key"));
}

#[test]
fn four_flags_need_no_profile() {
    let overrides = Overrides {
        profile: None,
        seeds: vec!["127.0.0.1:1".into()],
        ca: Some("a".into()),
        cert: Some("b".into()),
        key: Some("c".into()),
    };
    let profile = Profile::load(overrides, &around(Path::new("/nowhere"))).unwrap();
    assert_eq!(profile.seeds, ["127.0.0.1:1"]);
}

#[test]
fn wrong_profiles_are_told_apart() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("p.toml");
    let load = || {
        let overrides = Overrides { profile: Some(path.clone()), ..Overrides::default() };
        Profile::load(overrides, &around(root.path()))
    };
    assert!(matches!(load().unwrap_err(), ProfileError::Unreadable { .. }));
    fs::write(&path, format!("{TEXT}colour = 1\n")).unwrap();
    assert!(load().unwrap_err().to_string().contains("colour"));
    fs::write(&path, TEXT.replace("\"127.0.0.1:7101\"", "")).unwrap();
    assert!(matches!(load().unwrap_err(), ProfileError::NoSeeds { .. }));
}

#[test]
fn a_profile_reads_back_as_it_was_written() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("p.toml");
    let profile = Profile {
        seeds: vec!["a:1".into(), "b:2".into()],
        ca: "/x/ca \"1\".pem".into(),
        cert: "/x/c.pem".into(),
        key: "/x/c.key".into(),
    };
    fs::write(&path, profile.to_toml()).unwrap();
    assert_eq!(Profile::read(&path).unwrap(), profile);
}
