//! What is known of files.

use super::*;

#[test]
fn files_with_the_same_bytes_are_twins_until_one_changes() {
    use std::os::unix::ffi::OsStrExt;
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let odd = PathBuf::from(std::ffi::OsStr::from_bytes(b"/srv/\xff.jpg"));
    let copy = Write::File { path: odd.clone(), stamp: stamp(1), fate: FileDisposition::Sample(id(1)) };
    store.commit(&[sample(1), file(1), copy, sample(2), file(2)]).unwrap();
    let reader = store.reader().unwrap();
    assert_eq!(reader.twins(&id(1), &path(1)).unwrap(), std::slice::from_ref(&odd));
    assert_eq!(reader.twins(&id(2), &path(2)).unwrap(), [] as [PathBuf; 0]);
    store.commit(&[Write::File { path: odd, stamp: stamp(2), fate: FileDisposition::Sample(id(2)) }]).unwrap();
    assert_eq!(reader.twins(&id(1), &path(1)).unwrap(), [] as [PathBuf; 0]);
}

#[test]
fn files_that_are_no_samples_are_listed_in_pages_and_can_be_forgotten_and_no_others() {
    let folder = folder();
    let mut store = open(folder.path()).unwrap();
    let put_aside =
        |n| Write::File { path: path(n), stamp: stamp(1), fate: FileDisposition::Quarantined("odd".into()) };
    store.commit(&[sample(1), file(1), sample(2), file(2), Write::DeleteSample { id: id(2) }, put_aside(3)]).unwrap();
    let reader = store.reader().unwrap();
    let listed = |after: &Path, limit| reader.files_without_sample(after, limit).unwrap();
    assert_eq!(listed(Path::new(""), 9), [(path(2), false), (path(3), true)]);
    assert_eq!(listed(Path::new(""), 1), [(path(2), false)]);
    assert_eq!(listed(&path(2), 9), [(path(3), true)]);
    let forget = |n| Write::DeleteFile { path: path(n) };
    store.commit(&[forget(1), forget(2), forget(3), forget(4)]).unwrap();
    assert_eq!(listed(Path::new(""), 9), []);
    assert!(reader.file_is_known(&path(1), stamp(1)).unwrap(), "a sample's file stays");
    assert!(!reader.file_is_known(&path(2), stamp(2)).unwrap());
}
