//! What a door costs at which nobody is: memory and wake-ups, beside a daemon without one.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use edgetuned::store::{Reader, SpacesInUse};

use crate::bars::{Bars, Unit};
use crate::camera::{Camera, Light, Part};
use crate::daemon::{Daemon, Home, PATIENCE};

const PICTURES: u64 = 200;
const IDLE: Duration = Duration::from_mins(1);
/// What is said once comes within this time after the last picture.
const SETTLED: Duration = Duration::from_secs(10);

pub fn measure(bars: &mut Bars) {
    let picture = Camera::new(7).jpeg(Part::Nut, 1, &Light::DAY);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let doors = ["null".to_owned(), format!("127.0.0.1:{port}")];
    let started: Vec<(Home, Daemon)> = doors.iter().map(|door| settled(door, &picture)).collect();
    thread::sleep(SETTLED);
    let woken = || started.iter().map(|(_, daemon)| daemon.wake_ups()).collect::<Vec<_>>();
    let before = woken();
    thread::sleep(IDLE);
    let woken: Vec<f64> = woken().iter().zip(&before).map(|(now, before)| (now - before) as f64).collect();
    let memory: Vec<f64> = started.iter().map(|(_, daemon)| daemon.resident_kib() as f64 / 1024.0).collect();
    let beside =
        format!("{:.1} without a door, {:.1} with one, each after the same {PICTURES} images", memory[0], memory[1]);
    bars.most("memory of a door that nobody uses", Unit::Mib, memory[1] - memory[0], 2.0, &beside);
    let beside = format!("{} without a door, {} with one", woken[0], woken[1]);
    bars.most("wake-ups a minute of such a door", Unit::Count, woken[1] - woken[0], 0.0, &beside);
}

/// A daemon that has stored the pictures.
fn settled(door: &str, picture: &[u8]) -> (Home, Daemon) {
    let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), 1, "");
    home.configure(&format!(
        "backbone: {{ model: tiny-test }}\nmqtt: {{ url: null }}\nhttp: {{ listen: {} }}\ntraining: {{ schedule: null }}",
        if door == "null" { door.to_owned() } else { format!("'{door}'") }
    ));
    let daemon = home.start();
    for number in 0..PICTURES {
        home.put(&format!("{number}.jpg"), &[picture, number.to_string().as_bytes()].concat());
    }
    stored(&home, PICTURES);
    (home, daemon)
}

/// Waits until so many pictures are stored.
pub fn stored(home: &Home, count: u64) {
    let until = Instant::now() + 2 * PATIENCE;
    let is_there = || {
        let reader = Reader::open(&home.state(), SpacesInUse::default()).ok()?;
        (reader.counts().ok()?.samples >= count).then_some(())
    };
    while is_there().is_none() {
        assert!(Instant::now() < until, "{count} images are not stored");
        thread::sleep(Duration::from_millis(50));
    }
}
