//! What people and plans look at.

use super::*;

#[test]
fn samples_come_in_the_order_of_arrival_with_all_that_is_known() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let odd = PathBuf::from(std::ffi::OsStr::from_bytes(b"/srv/\xff,\"\n.jpg"));
    let Write::Sample(mut first) = sample(2) else { unreachable!() };
    first.origin = Origin::File(odd.clone());
    store
        .commit(&[Write::Sample(first), sample(1), labelled_by(1, Some("nut"), LabelSource::Import, 7, Some(1))])
        .unwrap();
    let reader = store.reader().unwrap();
    let predicted = Predicted { label: label("nut"), probability: 0.75, head: 3 };
    let expected = [
        ListedSample {
            id: id(2),
            origin: Origin::File(odd.clone()),
            label: None,
            arrived_at: Timestamp(2),
            predicted: Some(predicted),
            group: id(2),
            excluded: false,
        },
        ListedSample {
            id: id(1),
            origin: Origin::File(path(1)),
            label: Some((label("nut"), LabelSource::Import, Timestamp(7))),
            arrived_at: Timestamp(1),
            predicted: None,
            group: id(0),
            excluded: false,
        },
    ];
    assert_eq!(reader.samples(&task()).unwrap(), expected);
    let kept = [(2, 2, None, 1), (1, 0, Some(label("nut")), 2)];
    let kept = kept.map(|(n, group, label, number)| SampleRow { id: id(n), group: id(group), label, number });
    assert_eq!(reader.sample_rows(&task()).unwrap(), kept);
    assert_eq!((reader.origin(&id(2)).unwrap(), reader.origin(&id(3)).unwrap()), (Some(Origin::File(odd)), None));
}

#[test]
fn a_choice_of_samples_goes_on_after_the_last_one() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    store.commit(&(0..5).rev().map(sample).collect::<Vec<_>>()).unwrap();
    let labels = [(4, "nut"), (3, "gear"), (1, "nut")];
    store.commit(&labels.map(|(n, text)| labelled(n, Some(text), 9))).unwrap();
    let reader = store.reader().unwrap();
    let listed = |choice: SampleFilter<'_>| {
        let rows = reader.samples_of(&task(), &choice).unwrap();
        rows.map(|rows| rows.into_iter().map(|row| row.id).collect::<Vec<_>>())
    };
    let all = SampleFilter { limit: 9, after: None, label: None, unlabelled: false };
    let ids = |numbers: &[u64]| Some(numbers.iter().map(|n| id(*n)).collect::<Vec<_>>());
    assert_eq!(listed(all), ids(&[4, 3, 2, 1, 0]));
    let (third, gone, nut) = (id(2), id(7), label("nut"));
    assert_eq!(listed(SampleFilter { limit: 2, ..all }), ids(&[4, 3]));
    assert_eq!(listed(SampleFilter { after: Some(&third), ..all }), ids(&[1, 0]));
    assert_eq!(listed(SampleFilter { label: Some(&nut), ..all }), ids(&[4, 1]));
    assert_eq!(listed(SampleFilter { label: Some(&nut), limit: 1, ..all }), ids(&[4]));
    assert_eq!(listed(SampleFilter { unlabelled: true, after: Some(&third), ..all }), ids(&[0]));
    assert_eq!(listed(SampleFilter { after: Some(&gone), ..all }), None, "what was dropped has no place");
}
