//! What is kept of updates.

use std::ops::ControlFlow;

use super::*;
use crate::engine::{StoredUpdate, UpdateRecord};
use crate::update::Installed;
use crate::wire::UpdateKind::{self, Backbone, Head};

fn chunk(kind: UpdateKind, n: u32) -> Write {
    Write::Chunk { kind, n, bytes: vec![n as u8; 3] }
}

fn read(store: &Store, kind: UpdateKind) -> Vec<(u32, Vec<u8>)> {
    let mut found = Vec::new();
    let take = |n, bytes: &[u8]| {
        found.push((n, bytes.to_vec()));
        ControlFlow::Continue(())
    };
    store.reader().unwrap().chunks(kind, take).unwrap();
    found
}

#[test]
fn chunks_and_memory_of_each_kind_survive_and_chunks_go_without_a_trace() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    assert_eq!(store.snapshot().unwrap().updates[&Head], StoredUpdate::default());
    let memory = UpdateRecord {
        desired: Some("{}".into()),
        installed: Some(Installed { name: "parts".into(), version: 5, sha256: Digest::of(b"file") }),
        trial: Some(crate::engine::Probation::under_way(())),
        failed: vec![3, 4],
        ..UpdateRecord::default()
    };
    let update = Write::UpdateState { kind: Head, memory: Box::new(memory.clone()) };
    store.commit(&[update, chunk(Head, 7), chunk(Head, 0), chunk(Backbone, 1), chunk(Head, 7)]).unwrap();
    drop(store);
    let mut store = open(folder.path()).unwrap();
    let updates = store.snapshot().unwrap().updates;
    assert_eq!(updates[&Head], StoredUpdate { memory, chunks: vec![0, 7] });
    assert_eq!(updates[&Backbone], StoredUpdate { chunks: vec![1], ..StoredUpdate::default() });
    assert_eq!(read(&store, Head), [(0, vec![0; 3]), (7, vec![7; 3])]);
    store.commit(&[Write::DeleteChunks(Head)]).unwrap();
    assert_eq!((read(&store, Head), read(&store, Backbone).len()), (vec![], 1));
}

#[test]
fn reading_chunks_ends_when_enough_was_read() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&[0, 1, 2].map(|n| chunk(Head, n))).unwrap();
    let mut last = None;
    let until = |n, _: &[u8]| {
        last = Some(n);
        if n == 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    store.reader().unwrap().chunks(Head, until).unwrap();
    assert_eq!(last, Some(1));
}

#[test]
fn the_prevailing_space_is_that_of_the_champion_or_else_of_most_samples() {
    let folder = folder();
    let prevails = || Reader::open(folder.path(), SpacesInUse::default()).unwrap().prevailing_space().unwrap();
    let mut cache = cache(folder.path(), "b");
    let embeddings: Vec<_> = (1..=5).map(|n| (id(n), embedding(n))).collect();
    cache.put(embeddings.iter().map(|(id, embedding)| (id, embedding.as_slice()))).unwrap();
    assert_eq!(prevails(), None, "what commands embedded is no sample");
    let mut store = open(folder.path()).unwrap();
    assert_eq!(prevails(), None);
    store.commit(&[sample(1), sample(2), sample(6)]).unwrap();
    assert_eq!(prevails(), Some(space("a")), "three samples have an embedding there, two one of the other");
    let mut other = head(3);
    other.dense.space = space("b");
    let champion = Write::HeadStatus {
        task: task(),
        version: 3,
        status: HeadStatus::Champion,
        reason: String::new(),
        at: Timestamp(1),
    };
    store.commit(&[Write::Head { task: task(), record: other }, champion]).unwrap();
    assert_eq!(prevails(), Some(space("b")));
}
