//! Which tasks see which samples.

use super::*;
use crate::words::Region;

fn door() -> TaskId {
    "door".parse().unwrap()
}

fn region(text: &str) -> Region {
    text.parse().unwrap()
}

fn within(backbone: &str, part: &str) -> EmbeddingSpace {
    space(backbone).within(&region(part))
}

const LEFT: &str = "0,0,0.5,1";
const RIGHT: &str = "0.5,0,1,1";

/// The default task looks at whole pictures, `door` at these parts of them.
fn opened(folder: &Path, backbone_name: &str, parts: &[&str]) -> Store {
    let spaces = parts.iter().map(|part| (region(part), within(backbone_name, part))).collect();
    let spaces = SpacesInUse::whole(space(backbone_name)).with(door(), spaces);
    let backbone = backbone();
    Store::open(folder, &OpenOptions { spaces, ..options(&backbone) }).unwrap()
}

fn look(n: u64, part: &str) -> [Write; 2] {
    let space = within("a", part);
    [Write::Embedding { id: id(n), space, embedding: embedding(n) }, Write::Look { task: door(), id: id(n), space }]
}

/// The tasks that see each sample, and in which space.
fn seen(store: &Store) -> Vec<Vec<(String, EmbeddingSpace)>> {
    let samples = store.reader().unwrap().seen_samples(0, 100).unwrap();
    let named = |sample: SeenSample| sample.seen.into_iter().map(|(task, space)| (task.to_string(), space)).collect();
    samples.into_iter().map(named).collect()
}

#[test]
fn each_task_sees_what_it_has_an_embedding_of_through_its_own_space() {
    let folder = folder();
    let mut store = opened(folder.path(), "a", &[LEFT]);
    store.commit(&[vec![sample(0), sample(1)], look(1, LEFT).to_vec()].concat()).unwrap();
    let default = ("default".to_owned(), space("a"));
    assert_eq!(seen(&store), [vec![default.clone()], vec![default, ("door".into(), within("a", LEFT))]]);
    let reader = store.reader().unwrap();
    let is = |task: &TaskId, n, space| reader.is_looked_at(task, &id(n), &space).unwrap();
    assert!(is(&task(), 0, space("a")) && is(&door(), 1, within("a", LEFT)));
    assert!(!is(&door(), 0, within("a", LEFT)) && !is(&door(), 1, space("a")) && !is(&task(), 7, space("a")));
    assert!(!is(&door(), 1, within("b", LEFT)), "the store knows no such space");
}

#[test]
fn another_backbone_is_looked_through_and_sees_nothing_until_it_has_embedded() {
    let folder = folder();
    let mut store = opened(folder.path(), "a", &[LEFT, RIGHT]);
    store.commit(&[vec![sample(0)], look(0, RIGHT).to_vec()].concat()).unwrap();
    drop(store);
    let mut store = opened(folder.path(), "b", &[LEFT, RIGHT]);
    assert_eq!(seen(&store), [vec![]]);
    let reader = store.reader().unwrap();
    assert!(reader.is_looked_at(&door(), &id(0), &within("b", RIGHT)).unwrap());
    assert!(!reader.is_looked_at(&door(), &id(0), &within("b", LEFT)).unwrap());
    let write = Write::Embedding { id: id(0), space: within("b", RIGHT), embedding: embedding(0) };
    store.commit(&[write]).unwrap();
    assert_eq!(seen(&store), [vec![("door".to_owned(), within("b", RIGHT))]]);
}

#[test]
fn samples_come_in_parts_and_with_their_paths() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&(0..5).map(sample).collect::<Vec<_>>()).unwrap();
    let reader = store.reader().unwrap();
    let first = reader.seen_samples(0, 2).unwrap();
    assert_eq!(
        first.iter().map(|sample| (sample.id, sample.origin.path().map(Path::to_owned))).collect::<Vec<_>>(),
        [(id(0), Some(path(0))), (id(1), Some(path(1)))]
    );
    let rest = reader.seen_samples(first[1].number, 100).unwrap();
    assert_eq!(rest.iter().map(|sample| sample.id).collect::<Vec<_>>(), [id(2), id(3), id(4)]);
    assert!(reader.seen_samples(rest[2].number, 100).unwrap().is_empty());
}
