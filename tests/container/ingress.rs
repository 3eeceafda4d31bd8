//! The proxy of the add-on before a daemon, as Home Assistant's ingress uses it.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::client::Client;
use crate::daemon::{Daemon, Home};
use crate::packaged::read;
use crate::{has, skip};

/// A daemon without a token behind the proxy, which is killed when dropped.
struct Stage {
    _home: Home,
    _daemon: Daemon,
    proxy: Child,
    port: u16,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

impl Stage {
    /// Where ingress comes from `address`; `None` where there is no nginx.
    fn set(address: &str) -> Option<Self> {
        let nginx = ["nginx", "/usr/sbin/nginx"].into_iter().find(|program| has(program, "-v"));
        let Some(nginx) = nginx else {
            skip::skip("nginx is not installed (apt-get install nginx-light)");
            return None;
        };
        let (door, port) = (free_port(), free_port());
        let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), 1, "training: { schedule: null }");
        home.configure(&format!(
            "mqtt: {{ url: null }}\nhttp: {{ listen: '127.0.0.1:{door}', trusted_proxies: [127.0.0.1] }}"
        ));
        let config = proxy(&home, address, port, door);
        let daemon = home.start();
        Client::new(door).wait();
        // One process, which ends as soon as it is told to.
        let proxy = Command::new(nginx)
            .args(["-g", "daemon off; master_process off;", "-c"])
            .arg(config)
            .stderr(Stdio::inherit())
            .spawn();
        let stage = Self { _home: home, _daemon: daemon, proxy: proxy.unwrap(), port };
        Client::new(port).wait();
        Some(stage)
    }

    /// A browser at Home Assistant's address, as core and supervisor pass on what it says.
    fn browser(&self, host: &str) -> Client {
        let client = Client::new(self.port).without("Host").with("Host", host).with("X-Forwarded-Host", host);
        client
            .with("X-Forwarded-Proto", "https")
            .with("X-Forwarded-For", "10.9.9.9, 172.30.32.1")
            .with("X-Ingress-Path", "/api/hassio_ingress/x")
            .with("X-Remote-User-Name", "paul")
    }
}

/// The add-on's configuration of the proxy, with ports and folders of this test.
fn proxy(home: &Home, address: &str, port: u16, door: u16) -> PathBuf {
    let folder = home.config().with_file_name("proxy");
    fs::create_dir(&folder).unwrap();
    let mut text = read("packaging/home-assistant/edgetuned/ingress.conf");
    for (is, becomes) in [
        ("user www-data;", String::new()),
        ("/run/nginx.pid", folder.join("pid").display().to_string()),
        ("/tmp/nginx-", format!("{}/", folder.display())),
        ("listen 8099;", format!("listen 127.0.0.1:{port};")),
        ("allow 172.30.32.2;", format!("allow {address};")),
        ("http://127.0.0.1:8787", format!("http://127.0.0.1:{door}")),
    ] {
        assert!(text.contains(is), "{is} is not there any more");
        text = text.replace(is, &becomes);
    }
    let path = folder.join("nginx.conf");
    fs::write(&path, text).unwrap();
    path
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn who_is_signed_in_to_home_assistant_needs_no_token_under_whatever_name_it_is_found() {
    let Some(stage) = Stage::set("127.0.0.1") else { return };
    for host in ["homeassistant.local:8123", "abc.ui.nabu.casa", "192.168.1.7:8123"] {
        let browser = stage.browser(host);
        let front = browser.get("/");
        assert_eq!(front.status, 200, "{host}: {}", front.text());
        let policy = front.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'self'"), "{policy}");
        let own = browser.with("Origin", &format!("https://{host}"));
        let written = own.post("/api/v1/rescan", "{}");
        assert_eq!(written.status, 200, "{host}: {}", written.text());
    }
    // The watchdog says less.
    assert_eq!(Client::new(stage.port).get("/healthz").text(), "alive\n");
}

#[test]
fn a_page_of_another_site_changes_nothing_through_ingress() {
    let Some(stage) = Stage::set("127.0.0.1") else { return };
    let browser = stage.browser("ha.lan:8123");
    for origin in [
        "https://evil.test",
        "https://ha.lan",
        "https://ha.lan:8123.evil.test",
        "https://evil.test/ha.lan:8123",
        "null",
        "ha.lan:8123",
    ] {
        let refused = browser.with("Origin", origin).post("/api/v1/rescan", "{}");
        assert_eq!(refused.status, 403, "{origin}: {}", refused.text());
    }
    assert_eq!(browser.with("Origin", "https://HA.lan:8123").post("/api/v1/rescan", "{}").status, 200);
}

#[test]
fn nobody_but_ingress_is_answered() {
    let Some(stage) = Stage::set("172.30.32.2") else { return };
    for path in ["/", "/healthz", "/api/v1/status"] {
        assert_eq!(stage.browser("ha.lan").get(path).status, 403, "{path}");
    }
}
