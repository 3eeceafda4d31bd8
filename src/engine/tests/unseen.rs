//! Samples that a task should see and does not: found when nothing else is to be done, and read without being news.

use std::collections::BTreeMap;

use super::*;
use crate::wire::Ignored;

fn door() -> TaskId {
    "door".parse().unwrap()
}

/// A device with the stored samples of the default task, and a task beside it that is new.
fn with_a_new_task() -> Engine {
    let mut settings = settings(PromotionPolicy::Manual);
    settings.names_tasks = true;
    settings.tasks.push(TaskSettings { label_levels: vec![None], ..task(door(), PromotionPolicy::Manual) });
    Engine::new(settings, snapshot())
}

fn listed(engine: &mut Engine, ms: u64) -> Step {
    let event = WatchEvent::ScanFinished { ignored: Ignored::default(), unreadable: Vec::new() };
    engine.step(at(ms), Event::Watch(event))
}

fn sees(path: &str, closed: bool) -> Event {
    let stamp = Some(FileStamp { size: 1, mtime_ns: 0, ctime_ns: 0 });
    Event::Watch(WatchEvent::FileSeen(Sighting { root: 0, path: path.into(), stamp, closed, open: false }))
}

fn found(files: &[&str], next: Option<u64>, missing: u64) -> Event {
    let files = files.iter().map(|path| (0, PathBuf::from(path))).collect();
    Event::Watch(WatchEvent::UnseenFound(Unseen {
        files,
        pictures: Vec::new(),
        next,
        missing: BTreeMap::from([(door(), missing)]),
    }))
}

/// From which number on a search was asked for.
fn searches(step: &Step) -> Vec<u64> {
    step.acts
        .iter()
        .filter_map(|act| if let Act::FindUnseen { after, .. } = act { Some(*after) } else { None })
        .collect()
}

/// The stored image, as it is when its file is read again for `door`.
fn read_again(path: &str) -> Event {
    let view = |task, is_new| View { task, space: space(), is_new, prediction: None };
    let image = EmbeddedImage {
        id: SampleId::of(b"bolt"),
        bytes: 1,
        views: vec![view(TaskId::default(), false), view(door(), true)],
        embeddings: vec![(space(), vec![1.0])],
        group: SampleId::of(b"bolt"),
        decode: Duration::ZERO,
        embed: Duration::ZERO,
        thumbnail: None,
        picture: None,
    };
    let stamp = FileStamp { size: 1, mtime_ns: 0, ctime_ns: 0 };
    Event::Ingest(Ingested { root: 0, path: path.into(), stamp, outcome: IngestOutcome::Image(Box::new(image)) })
}

#[test]
fn nothing_is_searched_where_every_task_sees_every_sample() {
    let mut engine = engine(PromotionPolicy::Manual, snapshot());
    engine.start(at(0));
    let steps = [listed(&mut engine, 1), engine.step(at(1_000), Event::Tick)];
    assert!(steps.iter().all(|step| searches(step).is_empty()), "{steps:?}");
}

#[test]
fn what_a_new_task_does_not_see_is_found_in_parts_when_no_file_waits() {
    let mut engine = with_a_new_task();
    engine.start(at(0));
    assert!(searches(&engine.step(at(100), Event::Tick)).is_empty(), "the folders were not listed yet");
    engine.step(at(200), sees("/in/new.jpg", true));
    assert!(searches(&listed(&mut engine, 300)).is_empty(), "a file is being read");
    let gone = IngestOutcome::Gone;
    let stamp = FileStamp { size: 1, mtime_ns: 0, ctime_ns: 0 };
    let read = Ingested { root: 0, path: "/in/new.jpg".into(), stamp, outcome: gone };
    assert_eq!(searches(&engine.step(at(400), Event::Ingest(read))), [0]);

    let step = engine.step(at(500), found(&["/in/bolt.jpg"], Some(256), 3));
    assert!(matches!(&step.acts[..], [Act::Stat { root: 0, path }] if *path == *"/in/bolt.jpg"), "{step:?}");
    let step = engine.step(at(600), sees("/in/bolt.jpg", false));
    assert!(step.acts.iter().any(|act| matches!(act, Act::Ingest { .. })) && searches(&step).is_empty(), "{step:?}");
    let step = engine.step(at(700), read_again("/in/bolt.jpg"));
    assert_eq!(searches(&step), [256]);
    let looks = step.writes.iter().filter(|write| matches!(write, Write::Look { task, .. } if *task == door())).count();
    let is_news = |write: &Write| matches!(write, Write::Sample(_) | Write::Outbox(_) | Write::Label { .. });
    assert!(looks == 1 && !step.writes.iter().any(is_news), "{step:?}");

    assert!(searches(&engine.step(at(800), found(&[], None, 1))).is_empty(), "that was the last part");
    let health = engine.health();
    let of_task = |task: &TaskId| (health.tasks[task].samples, health.tasks[task].unseen);
    assert_eq!((of_task(&TaskId::default()), of_task(&door())), ((2, 0), (1, 4)));
}

/// The kept frame is read again for `door`.
fn picture_read() -> Event {
    let Event::Ingest(Ingested { outcome: IngestOutcome::Image(mut image), .. }) = read_again("/in/bolt.jpg") else {
        unreachable!("it is an image")
    };
    image.views.remove(0);
    Event::Picture(PictureRead { id: image.id, image: Some(image) })
}

/// The search found that `door` does not see a kept frame.
fn found_picture() -> Event {
    let pictures = vec![SampleId::of(b"bolt")];
    Event::Watch(WatchEvent::UnseenFound(Unseen { pictures, ..Unseen::default() }))
}

#[test]
fn a_label_that_waits_for_a_kept_frame_is_given_when_its_task_sees_it() {
    let mut engine = with_a_new_task();
    engine.start(at(0));
    let id = SampleId::of(b"bolt");
    let payload = serde_json::json!({"image": id, "label": "open", "task": "door"}).to_string().into_bytes();
    let said = Inbound { topic: "label".into(), payload, retained: false, delivery: 1 };
    let waits = engine.step(at(100), Event::Broker(BrokerEvent::Message(said)));
    assert!(waits.writes.iter().any(|write| matches!(write, Write::PendingLabel(_))), "{waits:?}");
    listed(&mut engine, 200);
    engine.step(at(300), found_picture());
    let step = engine.step(at(400), picture_read());
    let is_given = |write: &Write| matches!(write, Write::Label { task, id: of, label: Some(_), .. } if *task == door() && *of == id);
    assert!(step.writes.iter().any(is_given), "{step:?}");
    assert!(step.writes.iter().any(|write| matches!(write, Write::DeletePendingLabel { .. })), "{step:?}");
}

#[test]
fn a_kept_frame_that_is_read_while_nothing_can_be_stored_is_found_again() {
    let mut engine = with_a_new_task();
    engine.start(at(0));
    assert_eq!(searches(&listed(&mut engine, 100)), [0]);
    let step = engine.step(at(200), found_picture());
    assert!(step.acts.iter().any(|act| matches!(act, Act::IngestPicture { .. })), "{step:?}");
    engine.step(at(300), Event::Store(StoreEvent::Unavailable { full: true, reason: "full".into() }));
    let step = engine.step(at(400), picture_read());
    assert!(!step.writes.iter().any(|write| matches!(write, Write::Look { .. })), "{step:?}");
    assert_eq!(searches(&engine.step(at(500), Event::Store(StoreEvent::Recovered))), [0]);
}
