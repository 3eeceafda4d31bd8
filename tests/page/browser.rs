//! A real browser that a test drives, and what every page has to keep to.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::error::CmdError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::time::timeout;
use webdriver_http::Method;

use crate::daemon::PATIENCE;

/// What this machine's Chromium needs to run alone: no screen, no sandbox of its own, nothing asked of anybody.
const FLAGS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--lang=en",
];
/// Runs before the page's own scripts, and keeps what goes wrong.
const WITNESS: &str = "
    globalThis.wrong = [];
    addEventListener('securitypolicyviolation', (event) =>
        wrong.push(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
    addEventListener('error', (event) => event.message && wrong.push(`error: ${event.message} ${event.filename}:${event.lineno}`));
    addEventListener('unhandledrejection', (event) => wrong.push(`rejection: ${event.reason?.stack ?? event.reason}`));
    console.error = (...words) => wrong.push(`console: ${words.join(' ')}`);
";

/// A screen.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    pub width: u32,
    pub height: u32,
    pub dark: bool,
}

/// A usual one.
pub const DESK: Screen = Screen { width: 1_280, height: 900, dark: false };
/// A telephone.
pub const PHONE: Screen = Screen { width: 360, height: 740, dark: false };
/// A usual one whose page is enlarged to 400 %.
pub const ENLARGED: Screen = Screen { width: 320, height: 225, dark: false };

/// The program that drives browsers; it ends with this.
pub struct Driver {
    child: Child,
    port: u16,
}

impl Driver {
    /// `None` where this machine has none.
    pub fn start() -> Option<Self> {
        let mut child = Command::new("chromedriver").arg("--port=0").stdout(Stdio::piped()).spawn().ok()?;
        let mut lines = BufReader::new(child.stdout.take()?).lines().map_while(Result::ok);
        // "ChromeDriver was started successfully on port 39211."
        let port =
            lines.find_map(|line| line.split_once("successfully on port ")?.1.trim_end_matches('.').parse().ok())?;
        std::thread::spawn(move || lines.for_each(drop));
        Some(Self { child, port })
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A window of a browser with a profile of its own.
pub struct Browser {
    runtime: Runtime,
    client: Client,
    home: String,
}

/// A command of the browser's own protocol.
#[derive(Debug)]
struct Devtools(&'static str, Value);

impl WebDriverCompatibleCommand for Devtools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({ "cmd": self.0, "params": self.1 }).to_string()))
    }
}

impl Browser {
    /// A window that looks at the page at `home`, `http://127.0.0.1:8787`; `flags` are further ones of the browser.
    pub fn open(driver: &Driver, home: &str, screen: Screen, flags: &[String]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).chain(flags.iter().cloned()).collect();
        let wanted = json!({ "goog:chromeOptions": { "args": flags } });
        let Value::Object(wanted) = wanted else { unreachable!("it is one") };
        let client = runtime.block_on(async {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(wanted);
            builder.connect(&format!("http://127.0.0.1:{}", driver.port)).await
        });
        let browser = Self { runtime, client: client.expect("a browser starts"), home: home.to_owned() };
        browser.look(screen);
        browser.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WITNESS }));
        browser
    }

    /// Another screen.
    pub fn look(&self, Screen { width, height, dark }: Screen) {
        let is_phone = width < 600;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": is_phone });
        self.devtools("Emulation.setDeviceMetricsOverride", metrics);
        self.devtools("Emulation.setTouchEmulationEnabled", json!({ "enabled": is_phone }));
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", media);
    }

    /// A command of the browser's own protocol.
    pub fn devtools(&self, command: &'static str, parameters: Value) -> Value {
        self.command(self.client.issue_cmd(Devtools(command, parameters)), command)
    }

    fn command<T>(&self, command: impl Future<Output = Result<T, CmdError>>, what: &str) -> T {
        let limited = self.runtime.block_on(async { timeout(2 * PATIENCE, command).await });
        limited.unwrap_or_else(|_| panic!("{what}: no answer")).unwrap_or_else(|error| panic!("{what}: {error}"))
    }

    /// Goes to an address below the page's, `#/label`, and waits until the place is there.
    pub fn go(&self, to: &str) {
        self.visit(&format!("{}/{to}", self.home));
        self.until("document.querySelector('.place')?.dataset.ready", &format!("the place {to}"));
    }

    /// Opens another tab and looks at that one; the others are hidden.
    pub fn another_tab(&self) {
        let tab = self.command(self.client.new_window(true), "another tab");
        self.command(self.client.switch_to_window(tab.handle), "the tab");
        self.devtools("Page.addScriptToEvaluateOnNewDocument", json!({ "source": WITNESS }));
    }

    /// Goes to any address.
    pub fn visit(&self, address: &str) {
        self.command(self.client.goto(address), address);
    }

    /// The value of an expression in the page, which may be a promise.
    pub fn value(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[0]; (async () => ({expression}))().then((value) => done({{ value }}), \
             (error) => done({{ error: String(error?.stack ?? error) }}));"
        );
        let mut found = self.command(self.client.execute_async(&script, vec![]), expression);
        assert_eq!(found["error"], Value::Null, "{expression}");
        found["value"].take()
    }

    /// Waits until an expression is true in the page that is there; its value. It is asked anew each time, since a page
    /// that is left takes what was begun in it along.
    pub fn until(&self, expression: &str, what: &str) -> Value {
        let script = format!("try {{ return ({expression}); }} catch {{ return null; }}");
        let until = Instant::now() + PATIENCE;
        loop {
            let found = self.runtime.block_on(async { timeout(PATIENCE, self.client.execute(&script, vec![])).await });
            match found {
                Ok(Ok(found)) if is_true(&found) => return found,
                _ if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
                Ok(Ok(_)) => break,
                failed => panic!("{what}: {failed:?}"),
            }
        }
        let text = self.value("document.body.innerText");
        panic!("{what} never came ({expression}); wrong: {}; the page:\n{text}", self.value("globalThis.wrong"));
    }

    /// Presses keys, one after another: characters, or names such as `Enter`.
    pub fn press(&self, keys: &[&str]) {
        for key in keys {
            let (modifiers, key) = match key.strip_prefix("Ctrl+") {
                Some(key) => (2, key),
                None => (0, *key),
            };
            let (modifiers, key) = match key.strip_prefix("Shift+") {
                Some(key) => (modifiers | 8, key),
                None => (modifiers, key),
            };
            let is_text = key.chars().count() == 1 && modifiers & 2 == 0;
            let text = if is_text {
                key
            } else if key == "Enter" {
                "\r"
            } else {
                ""
            };
            let code = key_code(key);
            let event = |kind: &str| {
                json!({ "type": kind, "key": key, "text": if kind == "keyDown" { text } else { "" }, "modifiers": modifiers,
                        "windowsVirtualKeyCode": code })
            };
            self.devtools("Input.dispatchKeyEvent", event("keyDown"));
            self.devtools("Input.dispatchKeyEvent", event("keyUp"));
        }
    }

    /// Types a text into what has the focus.
    pub fn type_text(&self, text: &str) {
        self.devtools("Input.insertText", json!({ "text": text }));
    }

    /// Clicks what a CSS selector finds, where it is on the screen.
    pub fn click(&self, selector: &str) {
        let selector = json!(selector);
        let place = self.until(
            &format!(
                "(() => {{ const found = document.querySelector({selector}); if (!found) return null; \
                 found.scrollIntoView({{ block: 'center' }}); const box = found.getBoundingClientRect(); \
                 return box.width && {{ x: box.x + box.width / 2, y: box.y + box.height / 2 }}; }})()"
            ),
            &selector.to_string(),
        );
        self.mouse("mousePressed", &place);
        self.mouse("mouseReleased", &place);
    }

    /// The button whose name is this.
    pub fn click_button(&self, name: &str) {
        let wanted = json!(name);
        self.until(
            &format!(
                "(() => {{ const found = [...document.querySelectorAll('button, a')].filter((one) => one.checkVisibility() && \
                 (one.getAttribute('aria-label') ?? one.textContent).trim() === {wanted}); if (!found.length) return null; \
                 document.querySelectorAll('[data-wanted]').forEach((one) => delete one.dataset.wanted); \
                 found.at(-1).dataset.wanted = 'true'; return true; }})()"
            ),
            &format!("the button {name}"),
        );
        self.click("[data-wanted]");
    }

    /// Drags by the mouse, from and to shares of width and height of what a CSS selector finds.
    pub fn drag(&self, selector: &str, from: [f64; 2], to: [f64; 2]) {
        let found = json!(selector);
        let scroll = format!("document.querySelector({found})?.scrollIntoView({{ block: 'center' }}) ?? true");
        self.until(&scroll, selector);
        let at = |[x, y]: [f64; 2]| {
            let place = format!(
                "(({{ x, y, width, height }}) => ({{ x: x + {x} * width, y: y + {y} * height }}))\
                 (document.querySelector({found}).getBoundingClientRect())"
            );
            self.value(&place)
        };
        let middle = [from[0].midpoint(to[0]), from[1].midpoint(to[1])];
        // What is dragged may move, so the places are those of the start.
        let [begin, middle, end] = [from, middle, to].map(at);
        self.mouse("mousePressed", &begin);
        for place in [&middle, &end] {
            self.mouse("mouseMoved", place);
        }
        self.mouse("mouseReleased", &end);
    }

    fn mouse(&self, kind: &str, place: &Value) {
        let event =
            json!({ "type": kind, "x": place["x"], "y": place["y"], "button": "left", "buttons": 1, "clickCount": 1 });
        self.devtools("Input.dispatchMouseEvent", event);
    }

    /// The text of what a CSS selector finds.
    pub fn text(&self, selector: &str) -> String {
        let found = self.value(&format!("document.querySelector({})?.innerText ?? ''", json!(selector)));
        found.as_str().unwrap_or_default().to_owned()
    }

    /// A picture of the window, for people, below `target/page`.
    pub fn picture(&self, name: &str) {
        let png = self.command(self.client.screenshot(), "a picture");
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/page");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), png).unwrap();
    }

    /// Nothing broke the policy or failed, and nobody but this device was asked for anything.
    pub fn is_clean(&self, what: &str) {
        assert_eq!(self.value("globalThis.wrong"), json!([]), "{what}");
        let foreign = self.value(
            "performance.getEntriesByType('resource').map((entry) => entry.name).filter((name) => new URL(name).host !== location.host)",
        );
        assert_eq!(foreign, json!([]), "{what}");
        let sideways = self.value("document.documentElement.scrollWidth - innerWidth");
        assert!(sideways.as_i64().is_some_and(|sideways| sideways <= 0), "{what}: it scrolls sideways by {sideways}");
    }

    /// What the rules of accessibility find at fault; `axe` is the text of axe-core.
    pub fn faults(&self, axe: &str) -> Value {
        self.command(self.client.execute(axe, vec![]), "axe-core");
        self.value(
            "(await axe.run()).violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html.slice(0, 200)} ${node.failureSummary ?? ''}`))",
        )
    }

    /// Closes the window.
    pub fn close(self) {
        let _ = self.runtime.block_on(async { timeout(Duration::from_secs(5), self.client.close()).await });
    }
}

/// Whether JavaScript takes a value for true.
fn is_true(value: &Value) -> bool {
    !matches!(value, Value::Null | Value::Bool(false)) && *value != json!(0) && *value != json!("")
}

/// What keyboards send for it.
fn key_code(key: &str) -> u32 {
    match key {
        "Enter" => 13,
        "Escape" => 27,
        "Tab" => 9,
        "Backspace" => 8,
        "ArrowLeft" => 37,
        "ArrowUp" => 38,
        "ArrowRight" => 39,
        "ArrowDown" => 40,
        "Home" => 36,
        "End" => 35,
        _ => key.chars().next().map_or(0, |first| first.to_ascii_uppercase() as u32),
    }
}
