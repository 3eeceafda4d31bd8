//! `sources`: what they mean, and what of them is refused.

use std::path::PathBuf;
use std::time::Duration;

use edgetuned::config::{Burst, Feed, Http, Rate};
use edgetuned::words::Access;
use edgetuned::words::Keep;

use crate::{fault, good, load_text};

const HTTP: &str = "http: 'http://cam/a.jpg'";

fn fetched(text: &str) -> Http {
    match &good(text).sources[0].feed {
        Feed::Http(http) => http.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_source_is_published_fetched_or_posted() {
    let config = good(
        "sources:\n- {id: driveway, mqtt: frigate/+/car/snapshot, rate: 30/m, keep: all}\n\
         - {id: garage, http: 'http://go2rtc:1984/api/frame.jpeg?src=garage'}\n- id: phone\n",
    );
    let [driveway, garage, phone] = &config.sources[..] else { panic!("{:?}", config.sources) };
    let Feed::Mqtt(filter) = &driveway.feed else { panic!("{driveway:?}") };
    assert_eq!((driveway.id.as_str(), filter.as_str()), ("driveway", "frigate/+/car/snapshot"));
    assert_eq!((driveway.rate.gap(), driveway.keep), (Duration::from_secs(2), Keep::All));
    assert_eq!((phone.feed.clone(), phone.keep), (Feed::Post, Keep::Changed));
    assert_eq!(phone.rate, Rate { frames: 2, per: Duration::from_secs(1) });
    let expected = Http {
        url: "http://go2rtc:1984/api/frame.jpeg?src=garage".into(),
        access: None,
        ca_file: None,
        every: Duration::from_secs(10),
        timeout: Duration::from_secs(5),
        burst: Some(Burst { every: Duration::from_secs(1), length: Duration::from_secs(20) }),
    };
    assert_eq!(garage.feed, Feed::Http(expected));
}

#[test]
fn secrets_of_cameras_are_in_files() {
    let basic = fetched(&format!("sources: [{{id: a, {HTTP}, username: me, password_file: /run/p}}]"));
    let access = Access::Basic { username: "me".into(), password_file: Some(PathBuf::from("/run/p")) };
    assert_eq!(basic.access, Some(access));
    let bearer =
        fetched("sources: [{id: a, http: 'https://ha:8123/api/camera_proxy/camera.x', token_file: /t, ca_file: /c}]");
    assert_eq!(bearer.access, Some(Access::Bearer { token_file: PathBuf::from("/t") }));
    assert_eq!(bearer.ca_file, Some(PathBuf::from("/c")));
    for url in [
        "http://me:hunter2@cam/a.jpg",
        "http://hunter2@cam",
        "me:hunter2@cam/a.jpg",
        "http://cam/snap?user=me&password=hunter2",
        "http://cam/snap?user=me&PWD=hunter2",
        "https://cam/a?token=hunter2",
        "ftp://cam/a?x=1;access_token=hunter2",
    ] {
        let problem = fault(&format!("sources: [{{id: a, http: '{url}'}}]"));
        assert_eq!(problem.key, "sources[0].http", "{url}");
        assert!(problem.remedy.contains("password_file") && !problem.to_string().contains("hunter2"), "{problem}");
    }
    for misplaced in ["http://me:hunter2@cam", "http://cam/?password=hunter2"] {
        let problem = fault(&format!("sources: [{{id: a, rate: '{misplaced}'}}]"));
        assert!(!problem.to_string().contains("hunter2"), "{problem}");
    }
    assert_eq!(fetched("sources: [{id: a, http: 'http://h/x?src=me@home'}]").url, "http://h/x?src=me@home");
}

#[test]
fn rates_are_numbers_in_a_time() {
    for (text, gap_ms) in
        [("2/s", 500), ("1/10s", 10_000), ("30/m", 2_000), ("100/s", 10), ("1/1d", 86_400_000), ("7/h", 514_285)]
    {
        let config = good(&format!("sources: [{{id: a, rate: {text}}}]"));
        assert_eq!(config.sources[0].rate.gap().as_millis(), gap_ms, "{text}");
        let shown = config.to_json()["sources"][0]["rate"].as_str().unwrap().to_owned();
        assert_eq!(shown, text.replace("/1d", "/d"));
    }
    for text in [
        "2", "2/", "/s", "0/s", "-1/s", "+1/s", "1.5/s", "101/s", "1/0s", "1/2d", "2 / s", "2/sec", "two/s", "null",
        "[2/s]",
    ] {
        let problem = fault(&format!("sources: [{{id: a, rate: {text}}}]"));
        assert!(problem.key == "sources[0].rate" && problem.expected.contains("100/s to 1/1d"), "{text}: {problem}");
    }
}

#[test]
fn what_contradicts_itself_is_refused_where_it_stands() {
    let half = "sources: [{id: a, ".to_owned();
    for (fields, key, words) in [
        ("mqtt: a/b, http: 'http://cam'", "http", "it beside mqtt, expected one of mqtt and http"),
        ("mqtt: a/b, every: 1s", "every", "it without http"),
        ("timeout: 1s", "timeout", "it without http"),
        ("mqtt: a/b, burst: {for: 1s}", "burst.for", "it without http"),
        ("burst: {every: 1s}", "burst.every", "it without http"),
        ("username: me", "username", "it without http"),
        ("token_file: /t", "token_file", "it without http"),
        ("mqtt: a/b, ca_file: /c", "ca_file", "it without http"),
        ("http: 'http://cam', password_file: /p", "password_file", "it without username"),
        ("http: 'http://cam', token_file: /p, username: me", "token_file", "remove one of the two"),
        ("http: 'http://cam', ca_file: /c", "ca_file", "write https://"),
        ("http: 'http://cam', burst: {every: 10s}", "burst.every", "expected a time shorter than every"),
        ("http: 'http://cam', every: 2s, burst: {every: 3s}", "burst.every", "burst: { for: 0s }"),
        ("http: 'http://cam', every: 400ms", "every", "thrown away"),
        ("http: 'http://cam', rate: 1/m", "rate", "a picture each 10s, and a rate of one in 1m"),
        ("http: 'http://cam', burst: {every: 100ms}", "burst.every", "thrown away"),
        ("mqtt: edgetuned/line-3-local/label", "mqtt", "this device's own"),
        ("mqtt: edgetuned/+/+", "mqtt", "this device's own"),
    ] {
        let problem = fault(&format!("\n{half}{fields}}}]"));
        assert_eq!((problem.key, problem.line), (format!("sources[0].{key}"), Some(2)), "{fields}");
        let text = format!("found {}, expected {}; {}", problem.found, problem.expected, problem.remedy);
        assert!(text.contains(words), "{fields}: {text}");
    }
    assert!(good("sources: [{id: a, mqtt: edgetuned/other/picture}]").sources.len() == 1);
    // Only what somebody wrote is held against the default.
    assert_eq!(fetched("sources: [{id: a, http: 'http://c', every: 1s}]").burst, None);
    assert_eq!(fetched("sources: [{id: a, http: 'http://c', rate: 1/10s}]").burst, None);
    assert_eq!(fetched("sources: [{id: a, http: 'http://c', burst: {for: 0s}}]").burst, None);
}

#[test]
fn sources_do_not_share_ids_and_topics() {
    let problem = fault("sources:\n- id: a\n- id: b\n- id: a\n");
    assert_eq!((problem.key.as_str(), problem.line), ("sources[2].id", Some(4)));
    assert!(problem.found.contains("again, after sources[0].id"), "{problem}");
    let problem = fault("sources:\n- {id: a, mqtt: cam/+/jpg}\n- {id: b, mqtt: cam/1/jpg}\n");
    assert_eq!((problem.key.as_str(), problem.line), ("sources[1].mqtt", Some(3)));
    assert!(problem.found.contains("overlaps sources[0].mqtt"), "{problem}");
}

#[test]
fn values_that_no_source_has_are_refused() {
    for (text, expected) in [
        ("sources: null", "at most 64 items"),
        ("sources: {id: a}", "at most 64 items"),
        ("sources: [garage]", "a map of id, mqtt, http"),
        ("sources: [{}]", "1 to 32 of a-z"),
        ("sources: [{id: Garage}]", "1 to 32 of a-z"),
        ("sources: [{id: null}]", "1 to 32 of a-z"),
        ("sources: [{id: a, mqtt: '#'}]", "a topic"),
        ("sources: [{id: a, mqtt: +/x}]", "a topic"),
        ("sources: [{id: a, mqtt: a/b+}]", "a topic"),
        ("sources: [{id: a, mqtt: ''}]", "a topic"),
        ("sources: [{id: a, mqtt: [a]}]", "a topic"),
        ("sources: [{id: a, http: go2rtc/a.jpg}]", "http://HOST"),
        ("sources: [{id: a, http: 'rtsp://cam/1'}]", "http://HOST"),
        ("sources: [{id: a, http: 'http://'}]", "http://HOST"),
        ("sources: [{id: a, http: 'http:///a'}]", "http://HOST"),
        ("sources: [{id: a, http: 'http://h:0/a'}]", "http://HOST"),
        ("sources: [{id: a, http: 'http://h:+80/a'}]", "http://HOST"),
        ("sources: [{id: a, http: 'http://h/a b'}]", "http://HOST"),
        ("sources: [{id: a, http: 'http://h/a#b'}]", "http://HOST"),
        ("sources: [{id: a, http: 'http://[zz]/'}]", "http://HOST"),
        ("sources: [{id: a, http: 'http://ä/'}]", "http://HOST"),
        ("sources: [{id: a, keep: some}]", "none or changed or labelled or all"),
        ("sources: [{id: a, http: 'http://h', every: 99ms}]", "from 100ms to 1d"),
        ("sources: [{id: a, http: 'http://h', timeout: 3m}]", "from 100ms to 2m"),
        ("sources: [{id: a, http: 'http://h', burst: null}]", "a map of every, for"),
        ("sources: [{id: a, http: 'http://h', password_file: p, username: a}]", "absolute path"),
    ] {
        let problem = fault(text);
        assert!(problem.expected.contains(expected), "{text}: {problem}");
    }
    let many = (0..65).fold(String::from("sources:\n"), |text, number| text + &format!("- id: s{number}\n"));
    assert!(fault(&many).found.contains("65 items"));
    assert_eq!(fault("sources: [{id: a, topic: b}]").remedy, "remove it");
    assert_eq!(fault("sources: [{id: a, tokenfile: /b}]").remedy, "did you mean 'token_file'?");
    assert_eq!(fault("sources: [{mqtt: a/b}]").remedy, "add id: garage");
    assert!(fault("sources: [{id: a, http: 'rtsp://cam/1'}]").remedy.contains("go2rtc"));
    for url in
        ["http://[fe80::1]:8080/a", "https://10.0.0.7/", "http://esp32-cam", "http://h?x=1", "http://h_1.local:80/%20"]
    {
        assert_eq!(fetched(&format!("sources: [{{id: a, http: '{url}'}}]")).url, url);
    }
}

#[test]
fn a_source_of_mqtt_without_a_broker_is_a_warning() {
    let warnings = load_text("mqtt: {url: null}\nsources: [{id: a, mqtt: b/c}]").unwrap().warnings;
    assert_eq!(warnings.iter().map(|warning| warning.key.as_str()).collect::<Vec<_>>(), ["sources[0].mqtt"]);
}
