//! File systems that come and go.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Stage, is_root};

/// A file system in memory, mounted until it is dropped.
struct Mount(PathBuf);

impl Mount {
    /// `None`, with a word of it, where this user may not mount.
    fn over(folder: &Path) -> Option<Self> {
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "edgetuned-test"]).arg(folder).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self(folder.to_owned())),
            other => {
                crate::skip::skip(format_args!("cannot mount a file system (root: {}): {other:?}", is_root()));
                None
            }
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // At once, whoever has a file of it open: as a disk that is pulled out.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_file_system_that_is_mounted_over_the_folder_is_taken_up_and_told_of_when_it_goes() {
    let Some(mut stage) = Stage::set("") else { return };
    let camera = stage.home.camera();
    let _daemon = stage.start();
    stage.take("below.jpg");
    let Some(disk) = Mount::over(&camera) else { return };
    stage.take("on-disk.jpg");
    stage.take("deep/on-disk.jpg");
    // Gone while files of it are waited for and read.
    (0..200).for_each(|n| drop(stage.put(&format!("burst/{n:03}.jpg"))));
    drop(disk);
    stage.alert("the file system that was mounted at");
    let status = stage.status("gone");
    let samples = status["samples"].as_u64().unwrap();
    assert!(samples >= 3, "{status}");
    assert_eq!((&status["quarantined"], &status["evicted"]), (&0.into(), &0.into()), "{status}");
    // What lies there now is watched.
    stage.take("below-again.jpg");
    let disk = Mount::over(&camera).expect("it could be mounted before");
    stage.all_clear();
    stage.take("another-disk.jpg");
    // Only what could be read before it went was stored, all of it is kept, and nothing was put aside.
    let status = stage.status("back");
    assert!(status["samples"].as_u64().unwrap() >= samples + 2, "{status}");
    assert_eq!((&status["quarantined"], &status["evicted"]), (&0.into(), &0.into()), "{status}");
    drop(disk);
}

#[test]
fn a_file_system_that_is_mounted_on_a_subfolder_is_taken_up() {
    let Some(mut stage) = Stage::set("") else { return };
    let camera = stage.home.camera();
    let _daemon = stage.start();
    stage.take("stick/before.jpg");
    let Some(disk) = Mount::over(&camera.join("stick")) else { return };
    stage.take("stick/on-it.jpg");
    drop(disk);
    stage.take("stick/after.jpg");
}
