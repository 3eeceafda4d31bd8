//! Frames of cameras: published, polled and posted, and what is said of cameras that fail.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::camera::Part;
use crate::daemon::{Home, PATIENCE};
use crate::socket::{good, until};
use crate::{QUIET, Stage, home, name, picture};

/// A home whose daemon has no broker.
fn alone(sources: &str) -> Home {
    let home = home(1, QUIET);
    home.configure(&format!("mqtt: {{ url: null }}\n{sources}"));
    home
}

/// Posts a picture to a source; the status and the answer.
fn post(home: &Home, query: &str, body: &[u8]) -> (u16, Value) {
    let mut stream = UnixStream::connect(home.state().join("edgetuned.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head =
        format!("POST /api/v1/image?{query} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n\r\n", body.len());
    // Who is refused early may find that nobody reads any more.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    let mut said = String::new();
    let _ = stream.read_to_string(&mut said);
    let status = said.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).unwrap();
    let (_, body) = said.split_once("\r\n\r\n").unwrap();
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body:?}")))
}

/// The figures of a source, once they are so.
fn source(home: &Home, id: &str, is: impl Fn(&Value) -> bool) -> Value {
    until(home, |status| is(&status["sources"][id]))["sources"][id].clone()
}

/// A camera that answers each request with what `answer` makes of its number; its address.
fn camera(answer: impl Fn(usize) -> (&'static str, Vec<u8>) + Send + 'static) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/shot.jpg", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    thread::spawn({
        let asked = Arc::clone(&asked);
        move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let reader = BufReader::new(stream.try_clone().unwrap());
                reader.lines().map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
                let (status, body) = answer(asked.fetch_add(1, Ordering::Relaxed));
                let head = format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n", body.len());
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
            }
        }
    });
    (address, asked)
}

#[test]
fn published_frames_are_predicted_under_their_source() {
    let sources = "sources: [{ id: cars, mqtt: frigate/+/car/snapshot, rate: 100/s }, { id: hall, mqtt: home/hall }]";
    let Some(mut stage) = Stage::set(&format!("{QUIET}\n{sources}")) else { return };
    let bolt = picture(Part::Bolt, 1);
    stage.ears.publish("frigate/drive/car/snapshot", bolt.clone(), false);
    let said = stage.ears.wait("prediction", "of the car", |said| said["source"] == "cars").json;
    assert_eq!((&said["image"], said.get("path"), said.get("stale")), (&json!(name(&bolt)), None, None), "{said}");
    stage.ears.wait("state", "of the car", |said| said["image"] == name(&bolt));
    // The same once more costs nothing; another one counts.
    stage.ears.publish("frigate/yard/car/snapshot", bolt.clone(), false);
    let nut = picture(Part::Nut, 2);
    stage.ears.publish("frigate/yard/car/snapshot", nut.clone(), false);
    stage.ears.wait("prediction", "of the nut", |said| said["image"] == name(&nut));
    let figures = source(&stage.home, "cars", |source| source["frames"] == 2);
    assert_eq!((&figures["frozen"], &figures["failed"]), (&json!(1), &json!(0)), "{figures}");
    assert!(figures["last"].is_string());
    let hall = source(&stage.home, "hall", |_| true);
    assert_eq!(hall, json!({"frames": 0, "skipped": 0, "frozen": 0, "failed": 0, "last": null}));
}

#[test]
fn a_frame_that_the_broker_kept_is_stale_and_cut_ones_are_reported_and_cleared() {
    let sources = "sources: [{ id: hall, mqtt: home/hall, rate: 100/s }]";
    let Some(mut stage) = Stage::set(&format!("{QUIET}\n{sources}")) else { return };
    let kept = picture(Part::Bolt, 3);
    stage.daemon.stop(crate::ENDING);
    stage.ears.publish("home/hall", kept.clone(), true);
    stage.daemon = stage.home.start();
    let said = stage.ears.wait("prediction", "of what was kept", |said| said["image"] == name(&kept)).json;
    assert_eq!(said["stale"], true, "{said}");
    // Each of these ends in the middle, at another place.
    for cut in [300, 400, 500] {
        stage.ears.publish("home/hall", picture(Part::Nut, 4)[..cut].to_vec(), false);
        source(&stage.home, "hall", |source| source["failed"].as_u64() == Some((cut as u64 - 200) / 100));
    }
    let alert = stage.ears.wait("alert/source_hall", "about the cut pictures", |alert| alert["text"].is_string()).json;
    assert!(alert["text"].as_str().unwrap().contains("cut off"), "{alert}");
    stage.ears.publish("home/hall", picture(Part::Nut, 5), false);
    stage.ears.wait("alert/source_hall", "that it is over", |alert| alert == "");
}

#[test]
fn a_posted_picture_is_answered_and_what_is_none_is_refused() {
    let home = alone("sources: [{ id: line, rate: 100/s }]");
    let mut daemon = home.start();
    until(&home, |_| true);
    let bolt = picture(Part::Bolt, 6);
    let (status, said) = post(&home, "source=line&wait=true", &bolt);
    assert_eq!(
        (status, &said["data"]["image"], &said["data"]["source"]),
        (200, &json!(name(&bolt)), &json!("line")),
        "{said}"
    );
    let again = post(&home, "source=line&wait=true", &bolt);
    assert_eq!((again.0, &again.1["data"]["image"]), (200, &json!(name(&bolt))), "who waits is answered");
    let nut = picture(Part::Nut, 7);
    let (status, said) = post(&home, "source=line", &nut);
    assert_eq!((status, &said["data"]), (202, &json!({ "image": name(&nut) })), "{said}");
    source(&home, "line", |source| source["frames"] == 2);
    for (query, body, status, reason) in [
        ("source=other", &bolt[..], 404, "no such source"),
        ("wait=true", &bolt[..], 400, "'source' is missing"),
        ("source=line", b"<html>", 422, "not a JPEG"),
        ("source=line&wait=true", &bolt[..bolt.len() / 2], 400, "cut off"),
        ("source=line", b"", 422, "empty"),
    ] {
        let (found, said) = post(&home, query, body);
        assert_eq!(found, status, "{query}: {said}");
        assert!(said["error"]["message"].as_str().unwrap().contains(reason), "{query}: {said}");
    }
    daemon.stop(crate::ENDING);
}

#[test]
fn a_polled_camera_is_predicted_frozen_and_looked_at_more_closely_on_request() {
    // Two pictures in turn, each of them twice.
    let (address, asked) = camera(|number| ("200 OK", picture(Part::Bolt, (number / 2 % 2) as u64)));
    let burst = "burst: { every: 100ms, for: 1h }";
    let home = alone(&format!("sources: [{{ id: gate, http: '{address}', every: 1h, rate: 100/s, {burst} }}]"));
    let mut daemon = home.start();
    source(&home, "gate", |source| source["frames"] == 1);
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    good(&home, "burst", &json!({ "source": "gate" }));
    let figures = source(&home, "gate", |source| source["frames"].as_u64() >= Some(4));
    assert!(figures["frozen"].as_u64() >= Some(2), "{figures}");
    until(&home, |status| status["samples"] == 2);
    daemon.stop(crate::ENDING);
}

#[test]
fn a_camera_that_fails_is_an_alert_until_it_answers() {
    let (address, _) = camera(|number| match number {
        0..3 => ("503 Busy", Vec::new()),
        _ => ("200 OK", picture(Part::Nut, number as u64)),
    });
    let sources =
        format!("sources: [{{ id: gate, http: '{address}', every: 100ms, rate: 100/s, burst: {{ for: 0s }} }}]");
    let Some(mut stage) = Stage::set(&format!("{QUIET}\n{sources}")) else { return };
    let alert = stage.ears.wait("alert/source_gate", "about the camera", |alert| alert["text"].is_string()).json;
    assert!(alert["text"].as_str().unwrap().contains("503"), "{alert}");
    stage.ears.wait("alert/source_gate", "that it is over", |alert| alert == "");
    stage.ears.wait("prediction", "of the camera", |said| said["source"] == "gate");
}

/// Ten cameras, two pictures a second each; `SOURCES_SECONDS` (60) long. Memory must not grow after the first half.
#[test]
#[ignore = "takes a minute; make sources"]
fn ten_cameras_for_a_while_cost_a_constant_amount_of_memory() {
    let seconds = std::env::var("SOURCES_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let mut ids = (0..10).map(|n| format!("{{ id: c{n}, mqtt: cameras/{n}/jpg, rate: 10/s }}"));
    let sources = format!("sources: [{}]", ids.by_ref().collect::<Vec<_>>().join(", "));
    let Some(mut stage) = Stage::set(&format!("{QUIET}\n{sources}")) else { return };
    let begin = Instant::now();
    let (mut number, mut half) = (0_u64, None);
    while begin.elapsed() < Duration::from_secs(seconds) {
        for n in 0..10 {
            stage.ears.publish(&format!("cameras/{n}/jpg"), picture(Part::Bolt, number * 10 + n), false);
        }
        number += 1;
        stage.ears.listen(begin + Duration::from_millis(500) * u32::try_from(number).unwrap());
        stage.ears.forget();
        if half.is_none() && begin.elapsed() >= Duration::from_secs(seconds / 2) {
            half = Some(stage.daemon.resident_kib());
        }
    }
    let (half, end) = (half.unwrap(), stage.daemon.resident_kib());
    let figures = until(&stage.home, |_| true)["sources"].clone();
    let frames: u64 = (0..10).map(|n| figures[format!("c{n}")]["frames"].as_u64().unwrap()).sum();
    eprintln!("{frames} frames in {seconds} s; {half} KiB at half time, {end} KiB at the end");
    assert!(frames >= number * 9, "{frames} of {} came: {figures}", number * 10);
    assert!(end <= half + half / 20, "memory grew from {half} to {end} KiB");
}
