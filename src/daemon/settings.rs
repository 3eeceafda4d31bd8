//! The settings that each module gets from the configuration; those that commands need too are in [`crate::shared::settings`].

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::serving::Scoring;
use super::throttle::ThrottleSettings;
use crate::config::{self, Config, Feed, ImageSource, Task};
use crate::engine::{
    self, Configure, Root, ScheduleSettings, SourceSettings, StateSettings, TaskSettings, TuneWhen, UpdateSettings,
};
use crate::eval::gate::Rules;
use crate::head::BackboneRef;
use crate::http::DoorSettings;
use crate::image::Limits;
use crate::mqtt;
use crate::shared::files::read_keys;
use crate::shared::settings::{BadSettings, bad, base, rates};
use crate::shared::views;
use crate::source::{Burst, Request, poll};
use crate::update::CHUNK_BYTES_MAX;
use crate::watch::{self, WatchedFolder};
use crate::wire::{InboundTopic, ProviderUse, UpdateKind};
use crate::words::{Digest, EmbeddingSpace, Region};

/// The JSON Schema of a configuration file.
const SCHEMA: &str = include_str!("../../config/schema.json");

/// How long messages stay that waited when MQTT was switched off.
const SPOOL_AGE_WHILE_OFF: Duration = Duration::from_hours(7 * 24);

/// When the jobs of a task may run.
pub(super) fn throttle(training: &config::Training) -> ThrottleSettings {
    ThrottleSettings {
        time_limit: training.time_limit,
        low_priority: training.priority == config::Priority::Low,
        pause_above_c: training.pause_above_c,
        pause_above_load: training.pause_above_load,
    }
}

/// The door; `None` where there is none.
pub(super) fn door(config: &Config, host_name: String) -> Option<DoorSettings> {
    let config::Door { listen, token_file, allowed_hosts, trusted_proxies } = config.http.clone();
    let device = config.device.id.clone();
    listen.map(|listen| DoorSettings { listen, token_file, allowed_hosts, trusted_proxies, host_name, device })
}

/// How a task scores images.
pub(super) fn scoring(prediction: &config::Prediction) -> Scoring {
    Scoring { top_k: prediction.top_k, rates: rates(prediction) }
}

/// The gate's rules for a task.
pub(super) fn rules(task: &Task) -> Rules {
    let config::Promotion { margin, max_class_recall_loss, .. } = task.promotion;
    Rules { margin, max_class_recall_loss, seed: task.training.seed }
}

/// The engine's settings, with the embeddings of whole pictures.
pub(super) fn engine(
    config: &Config,
    (backbone, provider): (BackboneRef, ProviderUse),
    (space, space_on_cpu): (EmbeddingSpace, EmbeddingSpace),
    boot: String,
    configure: Configure,
) -> Result<engine::Settings, BadSettings> {
    let quota_bytes = config.store.quota_mb << 20;
    let root = |watch: &config::Watch| Root { path: watch.path.clone(), settle: watch.settle };
    let tasks = config.all_tasks();
    Ok(engine::Settings {
        boot,
        backbone,
        provider,
        space,
        space_on_cpu,
        onnxruntime: crate::backbone::runtime_version(),
        roots: config.watch.iter().map(root).collect(),
        sources: config.sources.iter().map(|source| source_settings(config, source)).collect(),
        names_tasks: config.names_tasks(),
        broker: config.mqtt.as_ref().map(identity),
        // What waited when MQTT was switched off stays for its age.
        spool_bytes_max: config.mqtt.as_ref().map_or(u64::MAX, |mqtt| (mqtt.spool_mb << 20).min(quota_bytes / 2)),
        quota_bytes,
        sample_bytes: sample_bytes(config, &tasks, space.dim),
        tasks: tasks.iter().map(|of| task(config, of, space)).collect::<Result<_, _>>()?,
        spool_age_max: config.mqtt.as_ref().map_or(SPOOL_AGE_WHILE_OFF, |mqtt| mqtt.spool_max_age),
        base: base(config)?,
        device_name: config.device.name.clone(),
        home_assistant: config.mqtt.as_ref().is_some_and(|mqtt| mqtt.home_assistant),
        share: config.fleet.share.then_some(config.fleet.min_class_count),
        updates: updates(config)?,
        configuration: config.to_json(),
        configure,
        settable: config::PATCHABLE.map(str::to_owned).into(),
        schema: serde_json::from_str(SCHEMA).expect("the schema in the repository is JSON"),
        opening: None,
        backbone_model: config.backbone.model.clone(),
    })
}

/// The engine's settings of one task.
fn task(config: &Config, task: &Task, whole: EmbeddingSpace) -> Result<TaskSettings, BadSettings> {
    let config::Training { schedule, min_new_labels, cooldown, .. } = &task.training;
    let cron = schedule.as_ref().map(|pattern| pattern.parse()).transpose();
    Ok(TaskSettings {
        id: task.id.clone(),
        space: views::space(&views::regions(task), whole),
        label_levels: config.watch.iter().map(|watch| task.label_level(watch)).collect(),
        schedule: ScheduleSettings {
            cron: cron.map_err(bad::<croner::errors::CronError>("training.schedule"))?,
            zone: TimeZone::system(),
            min_new_labels: *min_new_labels,
            cooldown: *cooldown,
            tunes: task.training.tune_when == TuneWhen::Schedule,
        },
        tune: task.training.tune_when,
        promotion: task.promotion.policy,
        shadow_images: task.promotion.shadow_images,
        state: task.state.as_ref().map(state),
    })
}

/// When the predictions of a task become a state.
fn state(state: &config::State) -> StateSettings {
    StateSettings {
        confirm: state.confirm,
        hold: state.hold,
        thresholds: state.thresholds.iter().map(|(class, least)| (class.clone(), *least as f32)).collect(),
        unknown_after: state.unknown_after,
    }
}

/// Which broker, which client there and which user: what one of them refuses, another may take.
fn identity(mqtt: &config::Mqtt) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    [&mqtt.url, &mqtt.prefix, &text(&mqtt.username), &text(&mqtt.client_id)].map(String::as_str).join(" ")
}

/// The trusted keys, and the largest chunk that fits a packet with the longest topic.
fn updates(config: &Config) -> Result<UpdateSettings, BadSettings> {
    let packet = config.mqtt.as_ref().map_or(0, |mqtt| {
        let chunk = InboundTopic::UpdateChunk(UpdateKind::Backbone, Digest([0; 32]), u32::MAX);
        let name = format!("{}/{}/{chunk}", mqtt.prefix, config.device.id);
        (mqtt.max_packet_kb << 10).saturating_sub(name.len() + mqtt::HEADER_BYTES)
    });
    Ok(UpdateSettings {
        keys: read_keys(&config.updates.trusted_keys).map_err(bad("updates.trusted_keys"))?,
        device: config.device.id.clone(),
        chunk_bytes_max: CHUNK_BYTES_MAX.min(packet as u64),
        // A backbone is there twice while it is taken in: its chunks, and its file.
        bytes_max: (config.store.quota_mb << 20) / 4,
    })
}

/// Bytes of a page of the database.
const PAGE: usize = 4_096;

/// What a sample takes for each further task that looks at it, in bytes: what the task knows, with a label and its line in
/// the history. Measured with the store's tables as for a sample: 267 to 304.
const LOOK: usize = 300;

/// What a thumbnail takes in the store, in bytes. Measured as below: 5,274 for those of photographs, which have 2,100 to 6,530
/// bytes, 3,794 for those of the synthetic yard with 1,650 to 3,100.
const THUMBNAIL: usize = 5_500;

/// The size of a sample in the store after many were dropped and stored, in bytes: its embeddings, a fifth more for pages
/// that are filled in part, its rows and indices, and its thumbnail. Of several origins of images, those whose images have most of them
/// count.
///
/// Measured with the store's tables after 400 times one sample in twenty was dropped at random and replaced: 2,534 bytes
/// for 512 values of 2 bytes, where this is 2,638; 4,993 bytes for 1,280 values, where this is 5,915.
fn sample_bytes(config: &Config, tasks: &[Task], dim: usize) -> u64 {
    let row = dim * config.store.precision.bytes() + 45;
    let on_pages = if row < PAGE { PAGE / (PAGE / row) } else { row.next_multiple_of(PAGE) };
    let watched = config.watch.iter().map(|watch| looks(tasks, |task| task.region_of_watch(&watch.path)));
    let sources = config.sources.iter().map(|source| looks(tasks, |task| task.region_of_source(&source.id)));
    let thumbnail = if config.store.thumbnails { THUMBNAIL } else { 0 };
    let bytes = |(tasks, parts): (usize, usize)| parts * (on_pages * 6 / 5) + 1_000 + (tasks - 1) * LOOK + thumbnail;
    watched.chain(sources).map(|(tasks, parts)| bytes((tasks.max(1), parts.max(1)))).max().unwrap_or(bytes((1, 1)))
        as u64
}

/// How many tasks look at the images of an origin, and at how many parts of them.
fn looks<'a>(tasks: &'a [Task], region: impl Fn(&'a Task) -> Option<&'a Region>) -> (usize, usize) {
    let regions: Vec<&Region> = tasks.iter().filter_map(region).collect();
    (regions.len(), regions.iter().collect::<BTreeSet<_>>().len())
}

/// Without a new frame for so long, nothing is known of what a source sees, unless a task says otherwise.
const UNKNOWN_AFTER: Duration = Duration::from_mins(5);

/// A source as the engine knows it; the shortest patience of the tasks that look at it counts.
fn source_settings(config: &Config, source: &ImageSource) -> SourceSettings {
    let tasks = config.tasks.iter().filter(|task| task.region_of_source(&source.id).is_some());
    let unknown_after = tasks.filter_map(|task| Some(task.state.as_ref()?.unknown_after)).min();
    let unknown_after = unknown_after.unwrap_or(UNKNOWN_AFTER);
    let bursts = matches!(&source.feed, Feed::Http(http) if http.burst.is_some());
    let all = config.all_tasks();
    let tasks = all.iter().filter(|task| task.region_of_source(&source.id).is_some()).count() as u32;
    let (id, gap, keep) = (source.id.clone(), source.rate.gap(), source.keep);
    SourceSettings { id, gap, bursts, unknown_after, keep, tasks }
}

/// The cameras that are asked for their pictures.
pub(super) fn cameras(config: &Config) -> Vec<poll::Camera> {
    let camera = |source: &ImageSource| {
        let Feed::Http(http) = &source.feed else { return None };
        let request = Request {
            url: http.url.clone(),
            timeout: http.timeout,
            access: http.access.clone(),
            ca_file: http.ca_file.clone(),
            max_bytes: Limits::default().bytes,
        };
        let burst = http.burst.map(|burst| Burst { every: burst.every, length: burst.length });
        Some(poll::Camera { source: source.id.clone(), request, every: http.every, burst })
    };
    config.sources.iter().filter_map(camera).collect()
}

/// The watcher's settings.
pub(super) fn watched(config: &Config) -> watch::Settings {
    let folder = |watch: &config::Watch| WatchedFolder {
        path: watch.path.clone(),
        recursive: watch.recursive,
        poll: watch.poll,
        exclude: watch.exclude.clone(),
    };
    watch::Settings::new(config.watch.iter().map(folder).collect())
}
