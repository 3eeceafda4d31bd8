//! A store of 10,000 samples: what the door answers of it, and the grid of all of them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::bars::{Bars, Unit, ms, numbers, p95};
use crate::browser::Browser;
use crate::camera::{Camera, Light, Part};
use crate::client::Client;
use crate::labels;
use crate::stage::Stage;

const SAMPLES: u64 = 10_000;
/// Of one kind in a row: a burst.
const ALIKE: u64 = 25;
const TIMES: usize = 50;

pub fn measure(bars: &mut Bars) {
    let stage = Stage::set("training: { schedule: null, min_new_labels: 1000000 }").unwrap();
    let mut drawn = stage.pictures(Part::Nut, 0..24, true);
    drawn.extend(stage.pictures(Part::Gear, 0..24, true));
    stage.samples(48);
    stage.train();
    fill(&stage);
    index(bars, stage.port);
    metrics(bars, stage.port);
    let browser = stage.browser();
    grid(bars, &browser);
    labels::keys(bars, &browser);
    labels::thousand(bars, stage.port);
    drawn.extend(labels::predictions(bars, &stage, &browser));
    browser.close();
    thumbnails(bars, stage.port, &drawn);
}

/// Small pictures with a number behind them: as many images as numbers.
fn fill(stage: &Stage) {
    let camera = Camera::new(4).with_size(96, 72);
    let kinds: Vec<Vec<u8>> = (0..64).map(|at| camera.jpeg(Part::ALL[at % 8], at as u64, &Light::DAY)).collect();
    for number in 48..SAMPLES {
        let picture = &kinds[(number / ALIKE) as usize % kinds.len()];
        stage.home.put(&format!("{number:05}.jpg"), &[&picture[..], number.to_string().as_bytes()].concat());
        // The daemon has a minute for what is waited for.
        if number % 2_000 == 0 {
            stage.samples(number - 1_000);
        }
    }
    stage.samples(SAMPLES);
    eprintln!("  {SAMPLES} samples are stored");
}

fn index(bars: &mut Bars, port: u16) {
    const OCTETS: &str = "Accept: application/octet-stream";
    let mut client = Client::open(port);
    let rows = client.get("/api/v1/samples?limit=1000", &[]).body.len() * 10;
    let first = client.get("/api/v1/index", &[OCTETS]);
    let beside = format!("the same by `samples`, in tens of pages: {:.0} KB", rows as f64 / 1e3);
    bars.most("`index` of 10,000", Unit::Kb, first.body.len() as f64 / 1e3, 200.0, &beside);
    let image = client.get("/api/v1/samples?limit=1", &[]).data()[0]["image"].take();
    let changed = (0..TIMES).map(|turn| {
        let label = ["nut", "gear"][turn % 2];
        client.post("label", &json!({ "items": [{ "image": image, "label": label }] })).data();
        ms(client.get("/api/v1/index", &[OCTETS]).time)
    });
    let times: Vec<f64> = changed.collect();
    bars.most("`index` after a change each time, p95", Unit::Ms, p95(&times), 50.0, "with sending");
    let first = client.get("/api/v1/index", &[OCTETS]);
    let times: Vec<f64> = (0..TIMES).map(|_| ms(client.get("/api/v1/index", &[OCTETS]).time)).collect();
    bars.most("`index` once more, p95", Unit::Ms, p95(&times), 50.0, "with sending");
    let same = format!("If-None-Match: {}", first.etag.unwrap());
    let asked: Vec<_> = (0..TIMES).map(|_| client.get("/api/v1/index", &[OCTETS, &same])).collect();
    assert!(asked.iter().all(|answer| answer.status == 304));
    let times: Vec<f64> = asked.iter().map(|answer| ms(answer.time)).collect();
    bars.known("`index` where nothing changed (304), p95", Unit::Ms, p95(&times), "");
    bars.known(
        "`map` of 10,000, the first time",
        Unit::Ms,
        ms(client.get("/api/v1/map", &[OCTETS]).time),
        "with sending",
    );
}

fn metrics(bars: &mut Bars, port: u16) {
    let mut client = Client::open(port);
    let scrapes: Vec<_> = (0..TIMES).map(|_| client.get("/metrics", &[])).collect();
    let text = &scrapes.last().unwrap().body;
    bars.most("`/metrics`", Unit::Kb, text.len() as f64 / 1e3, 15.0, "");
    let times: Vec<f64> = scrapes.iter().map(|answer| ms(answer.time)).collect();
    bars.most("`/metrics`, p95", Unit::Ms, p95(&times), 5.0, "");
    let child = Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return eprintln!("  there is no promtool") };
    child.stdin.take().unwrap().write_all(text).unwrap();
    let code = child.wait().unwrap().code().unwrap_or(-1);
    bars.most("`promtool check metrics` exits with", Unit::Count, f64::from(code), 0.0, "");
}

fn grid(bars: &mut Bars, browser: &Browser) {
    browser.go("#/samples");
    browser.until("edgetuned.open?.desk.samples.n >= 10000", "all samples");
    let found = browser.value(&format!("await ({})()", include_str!("grid.js")));
    let figure = |name: &str| found[name].as_f64().unwrap();
    bars.most("Samples of 10,000: first draw", Unit::Ms, figure("first"), 50.0, "");
    bars.most("its DOM nodes", Unit::Count, figure("nodes"), 600.0, "of the grid");
    let frames = numbers(&found["frames"]);
    bars.most(
        "frame in a scroll over all of it in 200 steps, p95",
        Unit::Ms,
        p95(&frames),
        50.0,
        "with real thumbnails",
    );
    bars.most("select all 10,000", Unit::Ms, figure("all"), 50.0, "");
    bars.most("filter by class and doubt", Unit::Ms, figure("filter"), 50.0, "");
    bars.known("bursts as stacks", Unit::Ms, figure("stacks"), "");
}

/// What pictures weigh in small, and how long one takes.
fn thumbnails(bars: &mut Bars, port: u16, images: &[String]) {
    let mut client = Client::open(port);
    let answers: Vec<_> = images.iter().map(|image| client.get(&format!("/api/v1/thumbnails/{image}"), &[])).collect();
    assert!(answers.iter().all(|answer| answer.status == 200));
    let largest = answers.iter().map(|answer| answer.body.len()).max().unwrap();
    let beside = format!("the largest of {} drawn pictures of 320 x 240", images.len());
    bars.most("a thumbnail", Unit::Kb, largest as f64 / 1e3, 8.0, &beside);
    let times: Vec<f64> = answers.iter().map(|answer| ms(answer.time)).collect();
    bars.most("a thumbnail, p95", Unit::Ms, p95(&times), 10.0, "");
}
