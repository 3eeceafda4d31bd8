//! Samples by the start of their names, and all of them one by one.

use super::*;
use crate::store::Revision;

#[test]
fn a_sample_is_found_by_a_start_that_no_other_one_has() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let mut twin = id(3);
    twin.0.0[31] ^= 1;
    let Write::Sample(mut second) = sample(3) else { unreachable!() };
    second.id = twin;
    second.origin = Origin::File("/srv/twin.jpg".into());
    let mut last = id(3);
    last.0.0 = [0xff; 32];
    let Write::Sample(mut third) = sample(3) else { unreachable!() };
    third.id = last;
    store.commit(&[sample(1), sample(2), sample(3), Write::Sample(third)]).unwrap();
    let reader = store.reader().unwrap();
    let found = |start: &[u8]| reader.sample_beginning(start).unwrap();
    assert_eq!(found(&id(2).0.0[..8]), Some(id(2)));
    assert_eq!((found(&id(3).0.0[..8]), found(&id(3).0.0)), (Some(id(3)), Some(id(3))));
    assert_eq!(found(&[0xff; 8]), Some(last));
    assert_eq!((found(&id(9).0.0[..8]), found(&[])), (None, None));
    assert_eq!(found(&[0; 40]), None);
    store.commit(&[Write::Sample(second)]).unwrap();
    assert_eq!((found(&id(3).0.0[..8]), found(&twin.0.0)), (None, Some(twin)), "two begin so");
}

#[test]
fn a_count_stands_for_one_state_of_the_samples() {
    let (count, changes) = (Revision::default(), [sample(1)]);
    let settled = count.of(|| Ok::<_, ()>(7)).unwrap();
    assert_eq!(settled, (7, Some(0)));
    count.counted(revision::changes_samples, &changes, || {
        assert_eq!(count.of(|| Ok::<_, ()>(8)).unwrap(), (8, None), "under way");
    });
    assert_eq!(count.of(|| Ok::<_, ()>(9)).unwrap(), (9, Some(2)));
    let mut reads = 0;
    let interrupted = count.of(|| {
        reads += 1;
        if reads == 1 {
            count.counted(revision::changes_samples, &changes, || ());
        }
        Ok::<_, ()>(reads)
    });
    assert_eq!(interrupted, Ok((2, Some(4))), "it is read again");
    count.counted(revision::changes_samples, &[Write::SeqReserved(1), Write::DeleteMessage { seq: 1 }], || ());
    assert_eq!(count.now(), 4, "messages are no samples");
}
