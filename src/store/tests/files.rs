//! What is known of files.

use super::*;

fn lies_at(path: &Path, n: u64) -> Write {
    Write::File { path: path.to_owned(), stamp: stamp(n), fate: FileDisposition::Sample(id(n)) }
}

#[test]
fn a_sample_has_the_files_with_its_bytes_until_they_change() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let odd = PathBuf::from(std::ffi::OsStr::from_bytes(b"/srv/\xff.jpg"));
    store.commit(&[sample(1), file(1), lies_at(&odd, 1), sample(2), file(2)]).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(reader.files_of(&id(1)).unwrap(), [path(1), odd.clone()]);
    store.commit(&[lies_at(&odd, 2)]).unwrap();
    assert_eq!(reader.files_of(&id(1)).unwrap(), [path(1)]);
    assert_eq!(reader.files_of(&id(2)).unwrap(), [path(2), odd]);
}

#[test]
fn the_path_of_a_sample_is_that_of_a_file_that_is_there_where_one_is() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let [first, second, third] = ["/srv/a/1.jpg", "/srv/b/1.jpg", "/srv/c/1.jpg"].map(PathBuf::from);
    let forget = |path: &Path| Write::DeleteFile { path: path.to_owned() };
    let reader = store.reader().unwrap();
    for (writes, expected) in [
        (vec![file(1), sample(1)], path(1)),
        (vec![lies_at(&first, 1)], path(1)),
        (vec![forget(&path(1))], first.clone()),
        (vec![forget(&first)], first.clone()),
        (vec![lies_at(&third, 1)], third.clone()),
        (vec![lies_at(&second, 1), forget(&third), forget(&third)], second.clone()),
        (vec![sample(2), lies_at(&first, 1), lies_at(&second, 2)], first),
    ] {
        store.commit(&writes).unwrap();
        assert_eq!(reader.origin(&id(1)).unwrap(), Some(Origin::File(expected)), "after {writes:?}");
    }
}

#[test]
fn recorded_files_are_listed_by_place_in_pages_and_can_be_forgotten_whatever_they_are() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let put_aside = |path: &str| Write::File {
        path: path.into(),
        stamp: stamp(1),
        fate: FileDisposition::Quarantined("odd".into()),
    };
    let others = ["/in/a.jpg", "/in/a/1.jpg", "/in/a/b/2.jpg", "/in/a0", "/in/b/1.jpg", "/inn/1.jpg"].map(put_aside);
    store.commit(&others).unwrap();
    store
        .commit(&[lies_at(Path::new("/in/a/sample.jpg"), 1), sample(1), lies_at(Path::new("/in/a/went.jpg"), 2)])
        .unwrap_err();
    store.commit(&[lies_at(Path::new("/in/a/sample.jpg"), 1), sample(1)]).unwrap();
    let reader = store.reader().unwrap();
    let listed = |place: &str, after: &str, limit| {
        let found = reader.files_below(Path::new(place), Path::new(after), limit).unwrap();
        found.into_iter().map(|path| path.to_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("/in/a", "", 9), ["/in/a/1.jpg", "/in/a/b/2.jpg", "/in/a/sample.jpg"]);
    assert_eq!(listed("/in/a", "/in/a/1.jpg", 1), ["/in/a/b/2.jpg"]);
    assert_eq!(listed("/in/a.jpg", "", 9), ["/in/a.jpg"]);
    assert_eq!((listed("/in", "", 9).len(), listed("/", "", 9).len(), listed("/in/", "", 9).len()), (6, 7, 6));
    store.commit(&[Write::DeleteFile { path: "/in/a/sample.jpg".into() }]).unwrap();
    assert_eq!(listed("/in/a", "", 9), ["/in/a/1.jpg", "/in/a/b/2.jpg"]);
    assert_eq!(reader.counts().unwrap().samples, 1, "the sample stays");
}
