//! What the page decides without a browser: the tests beside its modules.

use std::process::Command;

use crate::skip::not_here;

#[test]
fn the_modules_of_the_page_do_what_they_say() {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/web/tests");
    let Ok(ran) = Command::new("node").args(["--test", tests]).output() else {
        return not_here("there is no node (apt-get install nodejs); the browser runs the same modules");
    };
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    let passed = said.lines().find_map(|line| line.split_once("pass ")?.1.trim().parse::<u32>().ok());
    assert!(passed.is_some_and(|passed| passed > 50), "hardly any test ran:\n{said}");
}
