//! What is measured at each size, on one store that grows.

use std::error::Error;
use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use edgetuned::engine::Write;
use edgetuned::eval::budget::{self, Kept};
use edgetuned::store::Store;
use edgetuned::words::{SampleId, TaskId, is_audit};
use ndarray::Array2;
use serde_json::json;

use crate::backbone;
use crate::client::Client;
use crate::daemon::{Daemon, Home, PATIENCE};
use crate::filling::{self, Generator, class, id};
use crate::plain::Plain;

/// Most samples in a training, so that the bound is reached from 10,000 samples on.
const TRAINED: u64 = 2_000;
/// Of a page.
const ROWS: u64 = 100;
const TIMES: u64 = 50;
const STARTS: usize = 5;
/// One sample in so many is evicted at a time, as the daemon does.
const EVICTED_ONE_OF: u64 = 20;
/// After this the processor is measured. What a start leaves to the background is over by then up to some 100,000 samples.
const SETTLED: Duration = Duration::from_secs(12);
/// How long the daemon is then left alone.
const IDLE: Duration = Duration::from_secs(30);

/// What a measure should be over the sizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    Flat,
    /// By the samples, as `docs/operations.md` says.
    Linear,
}

/// A figure at one size.
pub struct Figure {
    pub what: &'static str,
    pub expected: Expected,
    pub value: f64,
    /// Of the plain table.
    pub peer: Option<f64>,
}

/// All figures at one size.
pub struct Size {
    pub samples: u64,
    pub figures: Vec<Figure>,
}

pub fn run(sizes: &[u64]) -> Result<Vec<Size>, Box<dyn Error>> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let home = Home::new(env!("CARGO_BIN_EXE_edgetuned"), 1, "");
    let folder = home.config().parent().ok_or("a configuration is in a folder")?.to_owned();
    let manifest = backbone::write(&folder)?;
    home.configure(&format!(
        "backbone: {{ model: {} }}\nmqtt: {{ url: null }}\nhttp: {{ listen: '127.0.0.1:{port}' }}\n\
         store: {{ quota_mb: 16384 }}\n\
         training: {{ schedule: null, min_new_labels: 1000000, max_samples: {TRAINED}, pause_above_load: null }}",
        folder.join("wide.yaml").display()
    ));
    let generator = Generator::new(manifest.space());
    let (mut measured, mut from) = (Vec::new(), 0);
    for &samples in sizes {
        let started = Instant::now();
        let mut store = filling::open(&home.state(), &manifest)?;
        filling::fill(&mut store, &generator, from, samples)?;
        let mut plain = Plain::open(&folder)?;
        for first in (from..samples).step_by(2_000) {
            plain.add(first, samples.min(first + 2_000))?;
        }
        from = samples;
        eprintln!("{samples} samples after {:.0} s", started.elapsed().as_secs_f64());
        let mut figures = ingest(&mut store, &generator, &mut plain, samples)?;
        store.close()?;
        figures.extend(daemon(&home, port, &mut plain, samples)?);
        let mut store = filling::open(&home.state(), &manifest)?;
        figures.extend(eviction(&mut store, samples)?);
        store.close()?;
        for Figure { what, value, peer, .. } in &figures {
            eprintln!("  {what}: {value:.3}{}", peer.map_or(String::new(), |peer| format!(", plain {peer:.3}")));
        }
        measured.push(Size { samples, figures });
    }
    Ok(measured)
}

/// The median in milliseconds of what is timed.
fn median(times: impl Iterator<Item = Result<Duration, Box<dyn Error>>>) -> Result<f64, Box<dyn Error>> {
    let mut times = times.collect::<Result<Vec<_>, _>>()?;
    times.sort();
    Ok(times[times.len() / 2].as_secs_f64() * 1e3)
}

fn timed<T>(what: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<Duration, Box<dyn Error>> {
    let started = Instant::now();
    what()?;
    Ok(started.elapsed())
}

/// One more sample, which is taken away again.
fn ingest(
    store: &mut Store,
    generator: &Generator,
    plain: &mut Plain,
    samples: u64,
) -> Result<Vec<Figure>, Box<dyn Error>> {
    let new = || samples..samples + TIMES;
    let value = median(new().map(|n| {
        let write = generator.sample(n)?;
        timed(|| Ok(store.commit(&[write])?))
    }))?;
    let peer = median(new().map(|n| timed(|| plain.add(n, n + 1))))?;
    store.commit(&new().map(|n| Write::DeleteSample { id: id(n) }).collect::<Vec<_>>())?;
    Ok(vec![Figure { what: "one more sample, its commit, ms", expected: Expected::Flat, value, peer: Some(peer) }])
}

/// What the running daemon takes.
fn daemon(home: &Home, port: u16, plain: &mut Plain, samples: u64) -> Result<Vec<Figure>, Box<dyn Error>> {
    let mut daemon = started(home)?.0;
    let mut client = Client::open(port);
    let training = train(&mut client)?;
    daemon.stop(PATIENCE);
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let (mut running, time) = started(home)?;
        times.push(Ok(time));
        running.stop(PATIENCE);
    }
    let start = median(times.into_iter())?;
    let all = timed(|| plain.all())?.as_secs_f64() * 1e3;
    daemon = started(home)?.0;
    thread::sleep(SETTLED);
    let before = daemon.cpu_seconds();
    thread::sleep(IDLE);
    let idle = (daemon.cpu_seconds() - before) * 1e3 * 60.0 / IDLE.as_secs_f64();
    let memory = daemon.resident_kib() as f64 / 1024.0;
    let mut client = Client::open(port);
    let page = |client: &mut Client, path: &str, from: u64| -> Result<(f64, f64), Box<dyn Error>> {
        let value = median((0..TIMES).map(|_| {
            let answer = client.get(path, &[]);
            let time = answer.time;
            assert!(answer.data().as_array().is_some_and(|rows| !rows.is_empty()), "{path}");
            Ok(time)
        }))?;
        Ok((value, median((0..TIMES).map(|_| timed(|| plain.page(from, ROWS))))?))
    };
    let first = page(&mut client, &format!("/api/v1/samples?limit={ROWS}"), 0)?;
    let last = samples - ROWS - 1;
    let last = page(&mut client, &format!("/api/v1/samples?limit={ROWS}&after={}", id(last)), last)?;
    // Spread over the store.
    let places = || (0..TIMES).map(move |turn| samples / TIMES * turn + turn % 7);
    let label = median(places().map(|n| {
        let body = json!({ "items": [{ "image": id(n), "label": class(n + 1) }] });
        let answer = client.post("label", &body);
        let time = answer.time;
        answer.data();
        Ok(time)
    }))?;
    // All labels are read once for it.
    let anew = client.get(&format!("/api/v1/samples?limit={ROWS}"), &[]).time.as_secs_f64() * 1e3;
    let plain_label = median(places().map(|n| timed(|| plain.label(n, &class(n)))))?;
    daemon.stop(PATIENCE);
    let figure = |what, expected, value, peer| Figure { what, expected, value, peer };
    Ok(vec![
        figure("a label at the door, ms", Expected::Flat, label, Some(plain_label)),
        figure("first page of samples, ms", Expected::Flat, first.0, Some(first.1)),
        figure("last page of samples, ms", Expected::Flat, last.0, Some(last.1)),
        figure("a page after a label, ms", Expected::Linear, anew, None),
        figure("start to ready, ms", Expected::Linear, start, Some(all)),
        figure("memory at rest, MiB", Expected::Linear, memory, None),
        figure("processor at 12 to 42 s, ms a minute", Expected::Linear, idle, None),
        figure("a training of at most 2,000, ms", Expected::Flat, training, None),
    ])
}

/// A daemon that is ready, and how long it took.
fn started(home: &Home) -> Result<(Daemon, Duration), Box<dyn Error>> {
    let path = home.config().with_file_name("notify");
    let _ = fs::remove_file(&path);
    let manager = UnixDatagram::bind(&path)?;
    manager.set_read_timeout(Some(PATIENCE))?;
    let begun = Instant::now();
    let daemon = home.start_with(&[("NOTIFY_SOCKET", Path::new(&path))]);
    let mut message = [0; 4096];
    loop {
        let length = manager.recv(&mut message)?;
        if String::from_utf8_lossy(&message[..length]).lines().any(|line| line == "READY=1") {
            return Ok((daemon, begun.elapsed()));
        }
    }
}

/// Milliseconds from the request to the report.
fn train(client: &mut Client) -> Result<f64, Box<dyn Error>> {
    let reports = |client: &mut Client| client.get("/api/v1/trainings?limit=1", &[]).data()[0]["training"].as_u64();
    let before = reports(client);
    let begun = Instant::now();
    client.post("train", &json!({})).data();
    while reports(client) == before {
        if begun.elapsed() > 5 * PATIENCE {
            return Err("the training does not end".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(begun.elapsed().as_secs_f64() * 1e3)
}

/// The search for one sample in twenty, as the daemon searches, and their deletion; of one of them.
fn eviction(store: &mut Store, samples: u64) -> Result<Vec<Figure>, Box<dyn Error>> {
    let reader = store.reader()?;
    let count = samples / EVICTED_ONE_OF;
    let begun = Instant::now();
    let kept: Vec<Kept> = reader
        .evictable()?
        .into_iter()
        .map(|found| Kept {
            audit: is_audit(&found.id),
            id: found.id,
            group: found.group,
            labels: found.labels,
            arrived: found.number,
        })
        .collect();
    let mut embeddings = |task: &TaskId, ids: &[SampleId]| {
        reader.labelled_of(task, ids).map_or_else(|_| Array2::zeros((ids.len(), 1)), |found| found.embeddings)
    };
    let evicted = budget::evict(&kept, count as usize, &mut embeddings);
    let gone: Vec<Write> = evicted.gone.iter().map(|(id, _)| Write::DeleteSample { id: *id }).collect();
    let search = begun.elapsed();
    let delete = timed(|| Ok(store.commit(&gone)?))?;
    let each = |time: Duration| time.as_secs_f64() * 1e3 / count as f64;
    let figure = |what, value| Figure { what, expected: Expected::Flat, value, peer: None };
    Ok(vec![
        figure("eviction, the search for one, ms", each(search)),
        figure("eviction, the deletion of one, ms", each(delete)),
    ])
}
