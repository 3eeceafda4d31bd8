//! Thumbnails, and the bytes of frames.

use super::*;
use crate::engine::StoredPicture;
use crate::words::SourceId;

fn gate() -> SourceId {
    SourceId::new("gate").unwrap()
}

/// Frame `n` of the gate, with its bytes where they are kept.
fn frame(n: u64, picture: Option<&[u8]>) -> Write {
    let Write::Sample(mut sample) = sample(n) else { unreachable!() };
    sample.origin = Origin::Source(gate());
    sample.picture = picture.map(<[u8]>::to_vec);
    sample.thumbnail = Some(vec![n as u8; 3]);
    Write::Sample(sample)
}

#[test]
fn a_frame_comes_back_with_its_origin_its_bytes_and_its_thumbnail() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let writes = [frame(1, Some(b"jpeg")), frame(2, None), sample(3), frame(4, Some(b"another"))];
    store.commit(&writes).unwrap();
    store.commit(&writes).unwrap();
    let reader = store.reader().unwrap();
    let origins = reader.samples(&task()).unwrap().into_iter().map(|sample| sample.origin).collect::<Vec<_>>();
    let of_gate = || Origin::Source(gate());
    assert_eq!(origins, [of_gate(), of_gate(), Origin::File(path(3)), of_gate()]);
    let kept = |n: u64| reader.picture(&id(n)).unwrap();
    assert_eq!((kept(1), kept(2), kept(3), kept(9)), (Some(b"jpeg".to_vec()), None, None, None));
    assert_eq!([1, 2, 3].map(|n| reader.has_picture(&id(n)).unwrap()), [true, false, false]);
    assert_eq!([1, 3].map(|n| reader.thumbnail(&id(n)).unwrap()), [Some(vec![1; 3]), None]);
    assert_eq!([1, 3].map(|n| reader.has_thumbnail(&id(n)).unwrap()), [true, false]);
    assert_eq!(reader.last_picture(&gate()).unwrap(), Some(id(4)));
    assert_eq!(reader.last_picture(&SourceId::new("yard").unwrap()).unwrap(), None);
    let picture = |n, bytes| StoredPicture { id: id(n), source: gate(), bytes };
    assert_eq!(store.snapshot().unwrap().pictures, [picture(1, 4), picture(4, 7)]);
    let unlabelled = reader.unlabelled(&task(), 10, None).unwrap();
    assert_eq!(unlabelled.origins[0], of_gate());
    assert_eq!(reader.seen_samples(0, 1).unwrap()[0].origin, of_gate());
}

#[test]
fn a_thumbnail_comes_later_and_bytes_go_before_their_sample() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&[frame(1, Some(b"jpeg")), sample(3)]).unwrap();
    store
        .commit(&[
            Write::Thumbnail { id: id(3), jpeg: vec![7] },
            Write::Thumbnail { id: id(3), jpeg: vec![8] },
            Write::Thumbnail { id: id(9), jpeg: vec![9] },
            Write::DeletePicture { id: id(1) },
            Write::DeletePicture { id: id(9) },
        ])
        .unwrap();
    let reader = store.reader().unwrap();
    assert_eq!((reader.thumbnail(&id(3)).unwrap(), reader.thumbnail(&id(9)).unwrap()), (Some(vec![7]), None));
    assert_eq!((reader.picture(&id(1)).unwrap(), reader.origin(&id(1)).unwrap()), (None, Some(Origin::Source(gate()))));
    assert!(store.snapshot().unwrap().pictures.is_empty());
}

#[test]
fn nothing_of_a_picture_is_left_when_its_sample_goes() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&[frame(1, Some(b"jpeg")), labelled(1, Some("open"), 5)]).unwrap();
    store.commit(&[Write::DeleteSample { id: id(1) }]).unwrap();
    let rows = |table: &str| -> i64 {
        let database = rusqlite::Connection::open(folder.path().join("edgetuned.db")).unwrap();
        database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!(["samples", "pictures", "thumbnails", "task_samples"].map(rows), [0; 4]);
    // One that comes again under another number has none of the former one's.
    store.commit(&[sample(1)]).unwrap();
    assert_eq!(store.reader().unwrap().picture(&id(1)).unwrap(), None);
}
