//! A short history without a difference, and differences that are found.

use std::path::Path;

use super::*;
use crate::engines::Kind;
use crate::history::History;

const KEYS: u32 = 2_000;

fn engines(dir: &Path) -> Vec<Engine> {
    let kinds = [Kind::Redb, Kind::Lsm, Kind::Memory].into_iter().enumerate();
    kinds.map(|(place, kind)| Engine::open(kind, place, dir).unwrap()).collect()
}

/// Takes so many steps, and returns the model that the engines are held to.
fn lived(names: &Names, engines: &mut [Engine], steps: usize) -> Model {
    let (mut model, mut compared) = (Model::default(), Compared::default());
    let mut history = History::new(3, KEYS);
    for _ in 0..steps {
        let step = history.next(&model);
        take(&step, names, engines, &mut model, &mut compared).unwrap();
    }
    model
}

#[test]
fn engines_that_do_the_same_show_no_difference() {
    let dir = tempfile::tempdir().unwrap();
    let (names, mut engines) = (Names::new(KEYS), engines(dir.path()));
    let model = lived(&names, &mut engines, 60);
    assert!(model.records.len() > 100, "{} records", model.records.len());
    let mut compared = Compared::default();
    all(&names, &mut engines, &model, &mut compared).unwrap();
    assert_eq!(compared.paged, model.records.len() as u64);
    assert_eq!(compared.hints, model.hints.len() as u64);
}

#[test]
fn a_record_or_a_hint_that_one_engine_has_lost_altered_or_made_up_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (names, mut engines) = (Names::new(KEYS), engines(dir.path()));
    let model = lived(&names, &mut engines, 60);
    let (&held, &version) = model.records.iter().next().unwrap();
    let absent = (0..KEYS).find(|number| !model.records.contains_key(number)).unwrap();
    let (&(target, hinted), _) = model.hints.iter().next().unwrap();
    let record = |number, version: Option<u64>| {
        batch(&names, &[(number, version)].into(), &BTreeMap::new(), None)
    };
    let hint = batch(&names, &BTreeMap::new(), &[((target, hinted), None)].into(), None);
    let damages = [
        (record(held, None), "instead of"),
        (record(held, Some(version + 1_000_000)), "instead of"),
        (record(absent, Some(1)), "instead of"),
        (hint, "in place of"),
    ];
    for (damage, words) in damages {
        for damaged in 0..engines.len() {
            let before = record(held, Some(version));
            engines[damaged].store().unwrap().write(&damage).unwrap();
            let found = all(&names, &mut engines, &model, &mut Compared::default()).unwrap_err();
            let found = format!("{found:#}");
            assert!(found.starts_with(engines[damaged].name()), "{found}");
            assert!(
                found.contains(words) || found.contains("missing") || found.contains("totals"),
                "{found}"
            );
            let repair = engines[damaged].store().unwrap();
            repair.write(&before).unwrap();
            repair.write(&record(absent, None)).unwrap();
            let version = model.hints[&(target, hinted)];
            let hints = [((target, hinted), Some(version))].into();
            repair.write(&batch(&names, &BTreeMap::new(), &hints, None)).unwrap();
        }
    }
    all(&names, &mut engines, &model, &mut Compared::default()).unwrap();
}
