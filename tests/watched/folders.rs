//! Folders that go and come.

use std::fs;

use crate::Stage;

#[test]
fn a_folder_that_is_missing_at_the_start_or_removed_later_is_told_of_and_taken_up_without_a_restart() {
    let Some(mut stage) = Stage::set("") else { return };
    let camera = stage.home.camera();
    fs::remove_dir(&camera).unwrap();
    let _daemon = stage.start();
    let alert = stage.alert("it is not there");
    assert_eq!(alert["severity"], "error");
    for round in 0..2 {
        fs::create_dir(&camera).unwrap();
        stage.take(&format!("{round}.jpg"));
        stage.all_clear();
        stage.take(&format!("deep/{round}.jpg"));
        fs::remove_dir_all(&camera).unwrap();
        stage.alert("it is not there");
    }
    let status = stage.status("s");
    assert_eq!((&status["samples"], &status["quarantined"]), (&4.into(), &0.into()), "{status}");
}

#[test]
fn a_folder_whose_parent_is_renamed_is_lost_and_found_again() {
    let Some(mut stage) = Stage::set("") else { return };
    let (camera, config) = (stage.home.camera(), stage.home.config());
    let inner = camera.join("a/b");
    fs::create_dir_all(&inner).unwrap();
    let text = fs::read_to_string(&config).unwrap();
    let (was, is) = (format!("path: {},", camera.display()), format!("path: {},", inner.display()));
    assert!(text.contains(&was), "{text}");
    fs::write(&config, text.replace(&was, &is)).unwrap();
    let _daemon = stage.start();
    stage.take("a/b/1.jpg");
    // No notice of the kernel tells of this one.
    fs::rename(camera.join("a"), camera.join("c")).unwrap();
    stage.alert("it is not there");
    fs::rename(camera.join("c"), camera.join("a")).unwrap();
    stage.all_clear();
    stage.take("a/b/2.jpg");
}

#[test]
fn subfolders_may_be_renamed_removed_and_made_again() {
    let Some(mut stage) = Stage::set("") else { return };
    let camera = stage.home.camera();
    let _daemon = stage.start();
    stage.take("one/deep/1.jpg");
    fs::rename(camera.join("one"), camera.join("two")).unwrap();
    stage.take("two/deep/2.jpg");
    fs::remove_dir_all(camera.join("two")).unwrap();
    stage.take("one/deep/3.jpg");
    stage.take("two/4.jpg");
    let outside = tempfile::tempdir_in(camera.parent().unwrap()).unwrap();
    fs::rename(camera.join("two"), outside.path().join("two")).unwrap();
    fs::rename(outside.path().join("two"), camera.join("two")).unwrap();
    stage.take("two/5.jpg");
    let status = stage.status("s");
    assert_eq!((&status["samples"], &status["quarantined"]), (&5.into(), &0.into()), "{status}");
}
