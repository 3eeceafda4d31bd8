//! Pictures as fast as they are taken: with nobody there, with eight watchers, and while a browser crawls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use crate::bars::{Bars, Unit, quantile};
use crate::browser::{Browser, DESK};
use crate::camera::{Camera, Light, Part};
use crate::client::{Client, Watcher};
use crate::idle::stored;
use crate::stage::Stage;

/// Of one measurement.
const PICTURES: u64 = 4_000;
const ROUNDS: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Nobody,
    Watchers,
    /// The requests of a browser, without one that takes the same processors.
    Requests,
    Browser,
}

#[derive(Default)]
struct Flood {
    per_second: f64,
    cpu_us: f64,
    grown_mib: f64,
    events_per_second: f64,
}

pub fn measure(bars: &mut Bars) {
    const ALL: [Company; 4] = [Company::Nobody, Company::Watchers, Company::Requests, Company::Browser];
    let mut found: [Vec<Flood>; 4] = Default::default();
    for _ in 0..ROUNDS {
        for (company, found) in ALL.iter().zip(&mut found) {
            let one = flood(*company);
            eprintln!(
                "  {company:?}: {:.0}/s, {:.0} us, {:.1} MiB, {:.0} events/s",
                one.per_second, one.cpu_us, one.grown_mib, one.events_per_second
            );
            found.push(one);
        }
    }
    let best = |at: usize, of: fn(&Flood) -> f64| quantile(&found[at].iter().map(of).collect::<Vec<_>>(), 0.0);
    let rate = |at: usize| quantile(&found[at].iter().map(|one| one.per_second).collect::<Vec<_>>(), 1.0);
    let grown = best(1, |one| one.grown_mib) - best(0, |one| one.grown_mib);
    let events = quantile(&found[1].iter().map(|one| one.events_per_second).collect::<Vec<_>>(), 1.0);
    let beside = format!("{events:.0} events a second to each");
    bars.most("memory of eight watchers while pictures flood in", Unit::Mib, grown, 8.0, &beside);
    for (at, what) in [
        (2, "pictures a second fewer while a browser's requests come"),
        (3, "the same with the browser on the same processors"),
    ] {
        let beside = format!(
            "{:.0} a second, {:.0} without; {:.0} us of the daemon's processor time each, {:.0} without",
            rate(at),
            rate(0),
            best(at, |one| one.cpu_us),
            best(0, |one| one.cpu_us)
        );
        let fewer = 100.0 * (1.0 - rate(at) / rate(0));
        if at == 2 {
            bars.most(what, Unit::Percent, fewer, 5.0, &beside);
        } else {
            bars.known(what, Unit::Percent, fewer, &beside);
        }
    }
}

fn flood(company: Company) -> Flood {
    let stage = Stage::set("training: { schedule: null, min_new_labels: 1000000 }").unwrap();
    stage.pictures(Part::Nut, 0..10, true);
    stage.pictures(Part::Gear, 0..10, true);
    stage.samples(20);
    stage.train();
    let browser = (company == Company::Browser).then(|| Browser::open(&stage.driver, &stage.address(), DESK, &[]));
    let watchers: Vec<Watcher> =
        (0..if company == Company::Watchers { 8 } else { 0 }).map(|_| Watcher::open(stage.port)).collect();
    let picture = Camera::new(7).with_size(64, 48).jpeg(Part::Nut, 1, &Light::DAY);
    let staged: Vec<_> = (0..PICTURES)
        .map(|number| {
            let path = stage.home.camera().with_file_name(format!("{number}.jpg"));
            std::fs::write(&path, [&picture[..], number.to_string().as_bytes()].concat()).unwrap();
            path
        })
        .collect();
    let daemon = stage.daemon.as_ref().unwrap();
    let (cpu, memory) = (daemon.cpu_seconds(), daemon.resident_kib());
    let heard = || watchers.iter().map(Watcher::events).sum::<u64>();
    let (before, is_over, started) = (heard(), AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        if company == Company::Requests {
            scope.spawn(|| requests(stage.port, &is_over));
        }
        let writer = scope.spawn(|| {
            for path in &staged {
                std::fs::rename(path, stage.home.camera().join(path.file_name().unwrap())).unwrap();
            }
            stored(&stage.home, PICTURES + 20);
            is_over.store(true, Ordering::Relaxed);
            started.elapsed()
        });
        if let Some(browser) = &browser {
            crawl(browser, &is_over);
        }
        let seconds = writer.join().unwrap().as_secs_f64();
        if let Some(browser) = browser {
            browser.close();
        }
        let watching = watchers.len().max(1) as f64;
        Flood {
            per_second: PICTURES as f64 / seconds,
            cpu_us: (daemon.cpu_seconds() - cpu) * 1e6 / PICTURES as f64,
            grown_mib: (daemon.resident_kib() as f64 - memory as f64) / 1024.0,
            events_per_second: (heard() - before) as f64 / watching / seconds,
        }
    })
}

/// Opens one place after another, as long as pictures come.
fn crawl(browser: &Browser, is_over: &AtomicBool) {
    for place in ["overview", "label", "samples", "training", "map", "system"].iter().cycle() {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        browser.go(&format!("#/{place}"));
    }
}

/// What a page asks for that is open at Samples while pictures come: what is new, and thumbnails, a few times a second.
fn requests(port: u16, is_over: &AtomicBool) {
    let mut client = Client::open(port);
    while !is_over.load(Ordering::Relaxed) {
        let index = client.get("/api/v1/index", &[]).data();
        for name in ["status", "review", "heads"] {
            client.get(&format!("/api/v1/{name}"), &[]);
        }
        for image in index["columns"]["image"].as_array().unwrap().iter().rev().take(20) {
            client.get(&format!("/api/v1/thumbnails/{}", image.as_str().unwrap()), &[]);
        }
        thread::sleep(std::time::Duration::from_millis(300));
    }
}
