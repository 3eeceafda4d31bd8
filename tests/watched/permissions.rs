//! What the daemon's user may not read.

use std::fs;
use std::os::unix::fs::chown;

use crate::{Stage, chmod, is_root};

/// A user and group who own nothing.
const NOBODY: u32 = 65_534;

#[test]
fn what_may_not_be_read_is_told_of_and_taken_when_it_may() {
    if !is_root() {
        crate::skip::skip("needs root, to run the daemon as another user");
        return;
    }
    let Some(mut stage) = Stage::set("setpriv --reuid 65534 --regid 65534 --clear-groups --") else { return };
    let camera = stage.home.camera();
    let state = stage.home.state();
    fs::create_dir(&state).unwrap();
    chown(&state, Some(NOBODY), Some(NOBODY)).unwrap();
    chmod(camera.parent().unwrap(), 0o755);
    let _daemon = stage.start();
    stage.take("1.jpg");

    chmod(&camera, 0o700);
    stage.alert("Permission denied");
    let hidden = stage.put("2.jpg");
    chmod(&camera, 0o755);
    stage.ears.prediction(&hidden);
    stage.all_clear();

    stage.take("deep/3.jpg");
    chmod(&camera.join("deep"), 0o700);
    stage.alert("cannot list");
    let hidden = stage.put("deep/4.jpg");
    // Readable, but not to be entered: its names are seen and nothing of them.
    chmod(&camera.join("deep"), 0o744);
    stage.take("5.jpg");
    chmod(&camera.join("deep"), 0o755);
    stage.ears.prediction(&hidden);
    stage.all_clear();
    stage.take("deep/6.jpg");
    assert_eq!(stage.status("s")["quarantined"], 0);

    // A file that stays unreadable is put aside, and looked at again when its mode changes.
    let secret = stage.put("7.part");
    chmod(&secret, 0o600);
    let path = camera.join("7.jpg");
    fs::rename(secret, &path).unwrap();
    let name = path.to_str().unwrap();
    let aside = |json: &serde_json::Value| json["event_type"] == "quarantined" && json["path"] == name;
    stage.ears.wait("event", "put aside", aside);
    chmod(&path, 0o644);
    stage.ears.prediction(&path);
}
