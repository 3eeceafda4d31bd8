//! What people, the camera and who publishes updates do in a full life.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::LazyLock;

use edgetuned::wire::UpdateKind;
use edgetuned::words::{Label, SampleId, TaskId, is_audit};
use rand::RngExt;
use rand::seq::IndexedRandom;

use super::super::world::{Content, World, class, folder, image_id};
use super::configuration;

/// What was done, to compare with what came of it.
#[derive(Default)]
pub struct Actions {
    pub images: u32,
    /// Whether all images are ones by which live accuracy is audited.
    pub audits_only: bool,
    /// Whether somebody sets the clock.
    pub sets_clock: bool,
    /// Whether somebody has samples forgotten.
    pub forgets: bool,
    /// Whether somebody switches to other backbones.
    pub switches: bool,
    /// What was asked so far.
    pub(super) forgettings: Vec<String>,
    /// A task that people want to end.
    pub(super) purges: Option<TaskId>,
    /// Whether somebody has labels changed into others, or takes changes back.
    pub revises: bool,
    /// Whether somebody excludes images and takes them back.
    pub excludes: bool,
    /// Labels that were sent with the one that their sender saw, by their transaction.
    pub compared: BTreeMap<String, Compared>,
    /// The last label of each image in each task, `None` where it was taken away.
    pub labelled: BTreeMap<(TaskId, SampleId), Option<String>>,
    pub transactions: Vec<String>,
    /// Second phases that were asked for, with what was sent.
    pub(super) tunings: Vec<(String, String)>,
    pub(super) questions: Vec<(&'static str, String)>,
    pub broken: BTreeSet<PathBuf>,
    /// Files that were moved; each gets a name that none had before.
    pub moves: u32,
    /// Images whose file in a class folder was removed: what that folder gave may go with it.
    pub left_its_class: BTreeSet<SampleId>,
    /// The highest version of settings that are good.
    pub(super) settings: u64,
}

/// A label that was sent with the one that its sender saw.
#[derive(Debug)]
pub struct Compared {
    pub task: TaskId,
    pub image: SampleId,
    pub was: Option<Label>,
}

/// Every fifth image is one about whose label people change their minds; it never lies in the folder of a class.
fn is_disputed(number: u32) -> bool {
    number.is_multiple_of(5)
}

pub fn someone_acts(world: &mut World, actions: &mut Actions) {
    match world.rng.random_range(0..100) {
        0..=27 => an_image(world, actions),
        28..=31 if actions.images > 0 => {
            let number = actions.number(world.rng.random_range(0..actions.images));
            let copies = world.disk.len();
            let folder = some_folder(world);
            world.create(format!("{folder}/copy-{}-{copies}.jpg", actions.images).into(), Content::Image(number), 2);
        }
        32 => a_broken_file(world, actions, "hostile", Content::Hostile, 2),
        33 => a_broken_file(world, actions, "torn", Content::Image(1_000_000), u32::MAX),
        34..=36 => {
            let files = world.disk.len().max(1);
            let gone = world.disk.keys().nth(world.rng.random_range(0..files)).cloned();
            let Some(gone) = gone else { return };
            actions.left_its_class.extend(folder(&gone).and_then(|_| world.image_at(&gone)));
            world.moves(&gone, None);
        }
        37..=55 => a_label(world, actions),
        56..=58 => a_transaction(world, actions),
        59 => {
            let task = named(world);
            let payload = if world.names_tasks() { format!("{{{}}}", of_task(task.as_ref())) } else { String::new() };
            world.publish("request/rollback", payload);
        }
        60 | 61 => {
            let task = world.some_task();
            let known = world.model.of(&task).heads.clone();
            let head = known.get(world.rng.random_range(0..known.len().max(1))).map(|head| head.head.clone());
            let Some(head) = head else { return };
            let name = if world.rng.random_bool(0.5) { head.version.to_string() } else { format!("{:?}", head.id.0) };
            // At times the head is another task's.
            let task = named(world);
            world.publish("request/promote", format!(r#"{{"head": {name}{}}}"#, and_task(task.as_ref())));
        }
        62..=65 => a_question(world, actions),
        66..=68 => some_settings(world, actions),
        69..=71 => world.publish_update(UpdateKind::Head),
        72 | 73 => world.publish_update(UpdateKind::Backbone),
        74 => {
            let kind = UpdateKind::ALL[world.rng.random_range(0..2)];
            if world.rng.random_bool(0.3) {
                world.withdraw_update(kind);
            }
        }
        75 => {
            let topics = ["label", "request/train", "request/x", "nonsense", "update/head/desired"];
            let topic = topics[world.rng.random_range(0..topics.len())];
            world.publish(topic, "{\"a\": [".into());
        }
        76 if world.rng.random_bool(0.5) => world.stop(),
        77 if world.rng.random_bool(0.5) => world.reload(),
        78 => {
            let is_lost = !world.folder_is_lost && world.rng.random_bool(0.5);
            world.set_folder_lost(is_lost);
        }
        79..=81 if actions.sets_clock => the_clock(world),
        82..=84 => a_move(world, actions),
        85..=87 if actions.forgets => a_forgetting(world, actions),
        88 | 89 if actions.switches => world.ask_for_backbone(),
        90..=92 if actions.revises => a_revision(world),
        93 | 94 => configuration::a_purge(world, actions.purges.as_ref()),
        99 => a_tuning(world, actions),
        95..=98 if actions.excludes => an_exclusion(world, actions),
        _ => {}
    }
}

/// Moves or renames a file that is whole, at times into the other watched folder.
fn a_move(world: &mut World, actions: &mut Actions) {
    let whole = world.disk.keys().filter(|path| world.image_at(path).is_some()).cloned().collect::<Vec<_>>();
    let Some(from) = whole.get(world.rng.random_range(0..whole.len().max(1))) else { return };
    let mut to = from.with_file_name(format!("moved-{}.jpg", actions.moves));
    if folder(from).is_none() && some_folder(world) == "/side" {
        to = format!("/side/moved-{}.jpg", actions.moves).into();
    }
    actions.moves += 1;
    world.moves(from, Some(to));
}

/// Has a few images forgotten, or a class; the same again at times, through either door.
fn a_forgetting(world: &mut World, actions: &mut Actions) {
    let before = actions.forgettings.len();
    let payload = if before > 0 && world.rng.random_bool(0.3) {
        actions.forgettings[world.rng.random_range(0..before)].clone()
    } else if world.rng.random_bool(0.2) {
        let task = named(world);
        let label = class(world.rng.random_range(0..3));
        format!(r#"{{"transaction": "f{before}", "label": "{label}"{}}}"#, and_task(task.as_ref()))
    } else {
        let count = world.rng.random_range(1..4);
        // Rather one that arrived just now.
        let known = world.model.arrived.iter().rev().take(2 * count).copied().collect::<Vec<_>>();
        let some = (0..count).filter_map(|_| known.choose(&mut world.rng));
        let images: Vec<String> = some.map(ToString::to_string).collect();
        serde_json::json!({"transaction": format!("f{before}"), "images": images}).to_string()
    };
    actions.forgettings.push(payload.clone());
    if world.rng.random_bool(0.5) {
        world.publish("request/forget", payload);
    } else {
        world.ask("forget", payload);
    }
}

/// Excludes a few images, takes some back, or undoes what was done so, through either door; at times one of them is not
/// there.
fn an_exclusion(world: &mut World, actions: &mut Actions) {
    let made: Vec<u64> =
        (world.model.history.iter()).filter(|line| line.excluded.is_some()).filter_map(|line| line.change).collect();
    let undone = made.choose(&mut world.rng).copied().filter(|_| world.rng.random_bool(0.3));
    let (name, payload) = if let Some(change) = undone {
        ("undo", format!(r#"{{"change": {change}}}"#))
    } else {
        let task = named(world);
        let count = world.rng.random_range(1..4);
        let known = world.model.arrived.iter().rev().take(8).copied().collect::<Vec<_>>();
        let mut images: Vec<String> =
            (0..count).filter_map(|_| known.choose(&mut world.rng)).map(ToString::to_string).collect();
        if world.rng.random_bool(0.1) {
            images.push(image_id(actions.images + 7).to_string());
        }
        let excluded = world.rng.random_bool(0.7);
        let images = serde_json::json!(images);
        ("exclude", format!(r#"{{"images": {images}, "excluded": {excluded}{}}}"#, and_task(task.as_ref())))
    };
    if world.rng.random_bool(0.5) {
        world.publish(&format!("request/{name}"), payload);
    } else {
        world.ask(name, payload);
    }
}

/// The clock is set, by hours or by years, or a time server sets it right.
fn the_clock(world: &mut World) {
    const HOUR_MS: i64 = 3_600_000;
    let hours = match world.rng.random_range(0..6) {
        0 => 2,
        1 => -3,
        2 => 240,
        3 => -240,
        4 => 87_600,
        _ => return world.sync_clock(),
    };
    world.set_clock(hours * HOUR_MS);
}

impl Actions {
    /// A label was given to an image in the task that is meant.
    pub(super) fn gave(&mut self, world: &mut World, named: Option<&TaskId>, number: u32, label: Option<Label>) {
        let id = image_id(number);
        // One that is not there yet may be when the message comes.
        for task in world.task_meant(named).into_iter().chain(named.cloned()) {
            world.observed.labelled_again(&task, &id, label.as_ref());
        }
        let Some(task) = world.task_meant(named) else {
            return named.into_iter().for_each(|task| world.said_to_nobody(task, &id));
        };
        if world.sees(&task, number) {
            self.labelled.insert((task, id), label.map(|label| label.to_string()));
        }
    }

    /// The image that comes as the `n`th.
    fn number(&self, n: u32) -> u32 {
        static AUDITS: LazyLock<Vec<u32>> =
            LazyLock::new(|| (0..10_000).filter(|number| is_audit(&image_id(*number))).collect());
        if self.audits_only { AUDITS[n as usize] } else { n }
    }

    /// The next image.
    pub(super) fn next_number(&mut self) -> u32 {
        self.images += 1;
        self.number(self.images - 1)
    }

    /// An image that came, or is one of the next three; rather one whose prediction nobody has answered, where these
    /// are counted.
    fn some_number(&self, world: &mut World) -> u32 {
        if self.audits_only && world.rng.random_bool(0.8) {
            let is_open = |number: &u32| {
                let id = image_id(*number);
                world.model.tasks.values().any(|known| known.predicted.contains_key(&id))
            };
            let open: Vec<u32> = (0..self.images).map(|n| self.number(n)).filter(is_open).collect();
            if !open.is_empty() {
                return open[world.rng.random_range(0..open.len())];
            }
        }
        self.number(world.rng.random_range(0..self.images + 3))
    }
}

/// A watched folder; where there is only one, no number is drawn.
fn some_folder(world: &mut World) -> &'static str {
    if world.roots() > 1 && world.rng.random_bool(0.4) { "/side" } else { "/in" }
}

pub(super) fn an_image(world: &mut World, actions: &mut Actions) {
    let number = actions.next_number();
    let in_folder = !is_disputed(number) && world.rng.random_bool(0.3);
    let folder = if in_folder { format!("/in/{}", class(number)) } else { some_folder(world).into() };
    let chunks = world.rng.random_range(1..8);
    world.create(format!("{folder}/{number}.jpg").into(), Content::Image(number), chunks);
}

fn a_broken_file(world: &mut World, actions: &mut Actions, name: &str, content: Content, chunks: u32) {
    let path = PathBuf::from(format!("/in/{name}-{}-{}.jpg", actions.images, world.disk.len()));
    actions.broken.insert(path.clone());
    world.create(path, content, chunks);
}

/// A label by message or by request, or from a file; some come before their image.
fn a_label(world: &mut World, actions: &mut Actions) {
    let number = world.cameras.frame_to_label();
    let number = number.unwrap_or_else(|| actions.some_number(world));
    let id = image_id(number);
    let task = named(world);
    let meant = world.task_meant(task.as_ref());
    let called = meant.as_ref().map_or(number, |task| world.named_as(task, number));
    let label = match world.rng.random_range(0..4) {
        0 if is_disputed(number) => None,
        1 if is_disputed(number) => Some(class(called + 1)),
        _ => Some(class(called)),
    };
    // One image waits for one label: the same digits each time.
    let digits = 8 + (number as usize * 7) % 57;
    let item = an_item(&id.to_string()[..digits], label.as_ref(), task.as_ref());
    let compares = actions.revises && world.rng.random_bool(0.3);
    if let Some(task) = meant.filter(|_| compares) {
        a_compared_label(world, actions, &task, id, label.as_ref());
    } else if world.rng.random_bool(0.7) {
        world.publish("label", item);
    } else {
        let items = and_others(world, actions, item, task.as_ref());
        let is_file = actions.revises && world.rng.random_bool(0.5);
        world.publish(if is_file { "request/import" } else { "request/label" }, format!(r#"{{"items": [{items}]}}"#));
    }
    actions.gave(world, task.as_ref(), number, label);
}

/// A label with the one that its sender saw, which may be another one by now.
fn a_compared_label(world: &mut World, actions: &mut Actions, task: &TaskId, image: SampleId, label: Option<&Label>) {
    let known = world.model.of(task);
    if !known.samples.contains_key(&image) {
        return;
    }
    let is_up_to_date = world.rng.random_bool(0.7);
    let was = if is_up_to_date { world.model.of(task).label(&image).cloned() } else { Some(class(2)) };
    let transaction = format!("w{}", actions.compared.len());
    let task_said = world.names_tasks().then_some(task);
    let item = serde_json::json!({ "image": image, "label": label, "was": was });
    let payload = format!(r#"{{"transaction": "{transaction}", "items": [{item}]{}}}"#, and_task(task_said));
    actions.compared.insert(transaction, Compared { task: task.clone(), image, was });
    if world.rng.random_bool(0.5) {
        world.publish("request/label", payload);
    } else {
        world.ask("label", payload);
    }
}

pub(super) fn an_item(image: &str, label: Option<&Label>, task: Option<&TaskId>) -> String {
    format!(r#"{{"image": "{image}", "label": {}{}}}"#, serde_json::json!(label), and_task(task))
}

/// With up to two labels of other images, which are theirs anyway.
fn and_others(world: &mut World, actions: &mut Actions, item: String, task: Option<&TaskId>) -> String {
    let others = world.rng.random_range(0..3).min(actions.images);
    let mut items = vec![item];
    for _ in 0..others {
        let number = actions.number(world.rng.random_range(0..actions.images));
        if is_disputed(number) {
            continue;
        }
        let called = world.task_meant(task).map_or(number, |task| world.named_as(&task, number));
        let label = class(called);
        items.push(an_item(&image_id(number).to_string(), Some(&label), task));
        // A request is refused as a whole; what would have been said counts where it is not.
        actions.gave(world, task, number, Some(label));
    }
    items.join(", ")
}

/// The task that somebody names; none where the tasks have no names.
fn named(world: &mut World) -> Option<TaskId> {
    world.task_to_name()
}

/// As the only member of a message.
pub(super) fn of_task(task: Option<&TaskId>) -> String {
    task.map(|task| format!(r#""task": "{task}""#)).unwrap_or_default()
}

/// As a further one.
fn and_task(task: Option<&TaskId>) -> String {
    task.map(|task| format!(r#", "task": "{task}""#)).unwrap_or_default()
}

/// Has one label changed into another one, or a change taken back, through either door.
#[allow(clippy::ifs_same_cond, clippy::same_functions_in_if_condition, reason = "each draw is another number")]
fn a_revision(world: &mut World) {
    let (name, payload) = if world.rng.random_bool(0.5) {
        let task = named(world);
        let (from, to) = (class(world.rng.random_range(0..3)), class(world.rng.random_range(0..3)));
        if let Some(meant) = world.task_meant(task.as_ref()) {
            world.observed.tasks.relabelled(&meant, &to);
        }
        ("relabel", format!(r#"{{"from": "{from}", "to": "{to}"{}}}"#, and_task(task.as_ref())))
    } else if world.rng.random_bool(0.5) {
        ("undo", String::new())
    } else {
        ("undo", format!(r#"{{"change": {}}}"#, world.rng.random_range(1..=world.model.changes.max(1))))
    };
    if world.rng.random_bool(0.5) {
        world.publish(&format!("request/{name}"), payload);
    } else {
        world.ask(name, payload);
    }
}

fn a_transaction(world: &mut World, actions: &mut Actions) {
    let transaction = match actions.transactions.last() {
        Some(last) if world.rng.random_bool(0.5) => last.clone(),
        _ => format!("t{}", actions.transactions.len()),
    };
    // The same transaction asks for the same again.
    let task = named(world);
    let payload = format!(r#"{{"transaction": "{transaction}"{}}}"#, and_task(task.as_ref()));
    let is_named = world.rng.random_bool(0.7);
    let without = if world.names_tasks() { format!("{{{}}}", of_task(task.as_ref())) } else { String::new() };
    world.publish("request/train", if is_named { payload } else { without });
    actions.transactions.push(transaction);
}

/// Asks for a training with a second phase, the same again at times, through either door.
fn a_tuning(world: &mut World, actions: &mut Actions) {
    let again = actions.tunings.choose(&mut world.rng).cloned().filter(|_| world.rng.random_bool(0.3));
    let (transaction, payload) = again.unwrap_or_else(|| {
        let (transaction, task) = (format!("u{}", actions.tunings.len()), named(world));
        world.observed.tunings.asked(&transaction, task.as_ref());
        let payload = format!(r#"{{"transaction": "{transaction}"{}}}"#, and_task(task.as_ref()));
        (transaction, payload)
    });
    if world.rng.random_bool(0.5) {
        world.publish("request/tune", payload.clone());
    } else {
        world.ask("tune", payload.clone());
    }
    actions.tunings.push((transaction, payload));
}

/// Asks what has to be found out, the same again half of the time, through either door.
fn a_question(world: &mut World, actions: &mut Actions) {
    let (name, transaction) = match actions.questions.last() {
        Some(last) if world.rng.random_bool(0.5) => last.clone(),
        _ => {
            let name = ["samples", "predict", "export", "reload"][world.rng.random_range(0..4)];
            (name, format!("q{}", actions.questions.len()))
        }
    };
    let image = world.model.arrived.last().copied().unwrap_or_else(|| image_id(0));
    let task = world.names_tasks().then(|| world.some_task());
    let payload = format!(r#"{{"transaction": "{transaction}", "image": "{image}"{}}}"#, and_task(task.as_ref()));
    if world.rng.random_bool(0.5) {
        world.publish(&format!("request/{name}"), payload);
    } else {
        world.ask(name, payload);
    }
    actions.questions.push((name, transaction));
}

/// Remote settings: good ones, ones that are refused, and ones with which the daemon does not start.
fn some_settings(world: &mut World, actions: &mut Actions) {
    if world.rng.random_bool(0.2) {
        return world.publish_retained("config/desired", Vec::new());
    }
    actions.settings += world.rng.random_range(0..3);
    let version = actions.settings;
    let key = ["good", "good", "bad", "fatal"][world.rng.random_range(0..4)];
    let patch = format!(r#"{{"version": {version}, "patch": {{"{key}": {version}}}}}"#);
    world.publish_retained("config/desired", patch.into_bytes());
}
