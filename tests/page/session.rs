//! Signing in and out by the form, as a person does it.

use serde_json::json;

use crate::stage::Stage;

const TOKEN: &str = "correct-horse-battery-staple";

#[test]
fn the_form_signs_in_with_the_token_alone_and_the_page_signs_out() {
    let Some(stage) = Stage::guarded(TOKEN) else { return };
    let browser = stage.browser();
    let at = |path: &str| browser.until(&format!("location.pathname === '{path}'"), path);
    browser.visit(&stage.address());
    at("/login");
    let sign_in = |token: &str| {
        browser.until("document.activeElement.id === 'token'", "the field has the focus");
        browser.type_text(token);
        browser.press(&["Enter"]);
    };
    sign_in("not-the-token-of-this-device");
    browser.until("document.querySelector('[role=alert]')?.innerText.includes('not the token')", "a wrong one is said");
    browser.picture("login");
    sign_in(TOKEN);
    at("/");
    browser.until("document.querySelector('.place')?.dataset.ready", "the page");
    browser.until("edgetuned.live.state === 'open'", "the stream of messages");
    browser.is_clean("signed in");
    assert_eq!(browser.value("document.cookie"), json!(""), "no script reads the session");

    browser.go("#/system");
    browser.click_button("Sign out");
    at("/login");
    assert_eq!(browser.value("(await fetch('api/v1/status')).status"), json!(401), "the session is over");
    browser.visit(&stage.address());
    at("/login");
    // Waiting outlives the page in which it began.
    browser.value("void setTimeout(() => location.assign('/login?later'), 300)");
    browser.until("location.search === '?later'", "the page that comes later");
    browser.close();
}
