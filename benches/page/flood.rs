//! Pictures as fast as they are taken: with nobody there, without thumbnails, with eight watchers, and while a browser
//! crawls.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::bars::{Bars, Unit, quantile};
use crate::browser::{Browser, DESK};
use crate::camera::{Camera, Light, Part};
use crate::client::{Client, Watcher};
use crate::idle::stored;
use crate::stage::Stage;

/// Of one measurement.
const PICTURES: u64 = 2_000;
/// Of the one that is about memory: a minute of small ones.
const MANY: u64 = 20_000;
const ROUNDS: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Nobody,
    /// The same, and no thumbnail is made.
    NoThumbnails,
    Watchers,
    /// The requests of a browser, without one that takes the same processors.
    Requests,
    Browser,
}

#[derive(Debug)]
struct Flood {
    per_second: f64,
    cpu_us: f64,
    grown_mib: f64,
    events_per_second: f64,
}

/// All, in turns, so that what else runs on the machine meets each of them.
const ALL: [Company; 4] = [Company::Nobody, Company::NoThumbnails, Company::Requests, Company::Browser];

pub fn measure(bars: &mut Bars) {
    let picture = Camera::new(7).jpeg(Part::Nut, 1, &Light::DAY);
    let mut found: [Vec<Flood>; ALL.len()] = Default::default();
    for _ in 0..ROUNDS {
        for (company, found) in ALL.iter().zip(&mut found) {
            found.push(flood(*company, PICTURES, &picture));
        }
    }
    let median = |at: Company, of: fn(&Flood) -> f64| {
        let at = ALL.iter().position(|company| *company == at).unwrap();
        quantile(&found[at].iter().map(of).collect::<Vec<_>>(), 0.5)
    };
    let (rate, cpu_us) = (|flood: &Flood| flood.per_second, |flood: &Flood| flood.cpu_us);
    let more = (median(Company::Nobody, cpu_us) - median(Company::NoThumbnails, cpu_us)) / 1e3;
    bars.most("processor time of making a thumbnail", Unit::Ms, more, 1.0, "of pictures of 320 x 240");
    for (company, what, from) in [
        (Company::Requests, "pictures a second fewer while a browser's requests come", "from this program"),
        (Company::Browser, "the same while a browser goes from place to place", "which takes the same processors"),
    ] {
        let beside = format!(
            "{from}; {:.0} a second, {:.0} without; {:.0} us of the daemon's processor time each, {:.0} without",
            median(company, rate),
            median(Company::Nobody, rate),
            median(company, cpu_us),
            median(Company::Nobody, cpu_us)
        );
        let fewer = 100.0 * (1.0 - median(company, rate) / median(Company::Nobody, rate));
        bars.most(what, Unit::Percent, fewer, 5.0, &beside);
    }
    let grown = |flood: &Flood| flood.grown_mib;
    let more = median(Company::Browser, grown) - median(Company::Nobody, grown);
    bars.known("memory of the daemon after such a browser", Unit::Mib, more, "more than without");
    watchers(bars);
}

/// What eight of them cost while messages come for about a minute.
fn watchers(bars: &mut Bars) {
    let picture = Camera::new(7).with_size(64, 48).jpeg(Part::Nut, 1, &Light::DAY);
    let [alone, watched] = [Company::Nobody, Company::Watchers].map(|company| flood(company, MANY, &picture));
    let beside = format!(
        "{:.0} messages a second to each for {:.0} s",
        watched.events_per_second,
        MANY as f64 / watched.per_second
    );
    bars.most("memory of eight watchers", Unit::Mib, watched.grown_mib - alone.grown_mib, 8.0, &beside);
}

fn flood(company: Company, count: u64, picture: &[u8]) -> Flood {
    let thumbnails = company != Company::NoThumbnails;
    let stage = Stage::set(&format!(
        "training: {{ schedule: null, min_new_labels: 1000000 }}\nstore: {{ thumbnails: {thumbnails} }}"
    ))
    .unwrap();
    stage.pictures(Part::Nut, 0..10, true);
    stage.pictures(Part::Gear, 0..10, true);
    stage.samples(20);
    stage.train();
    let browser = (company == Company::Browser).then(|| Browser::open(&stage.driver, &stage.address(), DESK, &[]));
    let watchers: Vec<Watcher> =
        (0..if company == Company::Watchers { 8 } else { 0 }).map(|_| Watcher::open(stage.port)).collect();
    let staged: Vec<_> = (0..count)
        .map(|number| {
            let path = stage.home.camera().with_file_name(format!("{number}.jpg"));
            std::fs::write(&path, [picture, number.to_string().as_bytes()].concat()).unwrap();
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
            stored(&stage.home, count + 20);
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
        let found = Flood {
            per_second: count as f64 / seconds,
            cpu_us: (daemon.cpu_seconds() - cpu) * 1e6 / count as f64,
            grown_mib: (daemon.resident_kib() as f64 - memory as f64) / 1024.0,
            events_per_second: (heard() - before) as f64 / watching / seconds,
        };
        eprintln!("  {company:?}: {found:.1?}");
        found
    })
}

/// Opens one place after another, as long as pictures come.
fn crawl(browser: &Browser, is_over: &AtomicBool) {
    for place in ["overview", "label", "samples", "training", "map", "system"].iter().cycle() {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        browser.go(&format!("#/{place}"));
        browser.until(&format!("document.querySelector('.place.{place}')?.dataset.ready"), "the place is filled");
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
        thread::sleep(Duration::from_millis(300));
    }
}
