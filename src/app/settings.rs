//! The one place where the configuration's words become the rooms' own settings.

use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;

use super::keys::read_keys;
use super::patience::PatienceSettings;
use super::serving::Scoring;
use crate::config::{self, Config};
use crate::engine::{self, Configure, PromotionPolicy, Root, ScheduleSettings, UpdateSettings};
use crate::eval::gate::Rules;
use crate::head::BackboneRef;
use crate::mqtt::{self, BrokerUrl, ClientCertificate, Credentials, Patience, Retry, Tls};
use crate::store::Precision;
use crate::train::{self, ClassWeights, Kind, L2, Solver};
use crate::update::CHUNK_BYTES_MAX;
use crate::watch::{self, Poll, WatchedFolder};
use crate::wire::{Base, InboundTopic, UpdateKind};
use crate::words::{Digest, EmbeddingSpace};

/// A setting that only its own room can judge.
#[derive(Debug, thiserror::Error)]
#[error("{key} cannot be used; run 'edgetuned check' and correct the configuration")]
pub struct BadSettings {
    /// The key.
    pub key: &'static str,
    /// What the room says.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

fn bad<E: Into<Box<dyn std::error::Error + Send + Sync>>>(key: &'static str) -> impl FnOnce(E) -> BadSettings {
    move |source| BadSettings { key, source: source.into() }
}

/// How embeddings are stored; half precision without a configuration.
#[must_use]
pub fn precision(config: Option<&Config>) -> Precision {
    match config.map(|config| config.store.precision) {
        Some(config::Precision::F32) => Precision::F32,
        Some(config::Precision::F16) | None => Precision::F16,
    }
}

/// How heads are fitted.
#[must_use]
pub fn fit_settings(config: &Config) -> train::Settings {
    let training = &config.training;
    train::Settings {
        kind: match training.head {
            config::Head::Softmax => Kind::Softmax,
            config::Head::Mlp => Kind::Mlp,
            config::Head::Lda => Kind::Lda,
            config::Head::RpRidge => Kind::RpRidge,
            config::Head::Auto => Kind::Auto,
        },
        solver: match training.solver {
            config::Solver::Lbfgs => Solver::Lbfgs,
            config::Solver::Adam => Solver::Adam { epochs: 50, batch: 32, lr: 1e-3 },
        },
        l2: match training.l2 {
            config::L2::Auto => L2::Auto,
            config::L2::Fixed(lambda) => L2::Fixed(lambda),
        },
        class_weights: match training.class_weights {
            config::ClassWeights::Balanced => ClassWeights::Balanced,
            config::ClassWeights::None => ClassWeights::None,
        },
        seed: training.seed,
        ..train::Settings::default()
    }
}

/// When a training may run.
pub(super) fn patience(config: &Config) -> PatienceSettings {
    let training = &config.training;
    PatienceSettings {
        time_limit: training.time_limit,
        low_priority: training.priority == config::Priority::Low,
        pause_above_c: training.pause_above_c,
        pause_above_load: training.pause_above_load,
    }
}

/// How images are scored.
pub(super) fn scoring(config: &Config) -> Scoring {
    let config::Prediction { top_k, unknown_percentile, abstain_alpha } = config.prediction;
    Scoring { top_k, percentile: unknown_percentile, alpha: abstain_alpha }
}

/// The gate's rules.
pub(super) fn rules(config: &Config) -> Rules {
    let config::Promotion { margin, max_class_recall_loss, .. } = config.promotion;
    Rules { margin, max_class_recall_loss, seed: config.training.seed }
}

/// The engine's settings.
pub(super) fn engine(
    config: &Config,
    backbone: BackboneRef,
    space: EmbeddingSpace,
    boot: String,
    configure: Configure,
) -> Result<engine::Settings, BadSettings> {
    let cron = config.training.schedule.as_ref().map(|pattern| pattern.parse()).transpose();
    let root = |watch: &config::Watch| Root {
        path: watch.path.clone(),
        label_from_folder: watch.label_from_folder,
        settle: watch.settle,
    };
    Ok(engine::Settings {
        boot,
        backbone,
        space,
        onnxruntime: crate::backbone::runtime_version(),
        roots: config.watch.iter().map(root).collect(),
        schedule: ScheduleSettings {
            cron: cron.map_err(bad::<croner::errors::CronError>("training.schedule"))?,
            zone: TimeZone::system(),
            min_new_labels: config.training.min_new_labels,
            cooldown: config.training.cooldown,
        },
        promotion: match config.promotion.policy {
            config::Policy::Gated => PromotionPolicy::Gated,
            config::Policy::Always => PromotionPolicy::Always,
            config::Policy::Manual => PromotionPolicy::Manual,
        },
        // Without a broker nothing is kept for it.
        spool_bytes_max: config.mqtt.as_ref().map_or(0, |mqtt| mqtt.spool_bytes),
        shadow_images: config.promotion.shadow_images,
        quota_bytes: config.store.quota_bytes,
        sample_bytes: sample_bytes(config, space.dim),
        spool_age_max: config.mqtt.as_ref().map_or(std::time::Duration::ZERO, |mqtt| mqtt.spool_age_max),
        base: base(config)?,
        device_name: config.device.name.clone(),
        home_assistant: config.mqtt.as_ref().is_some_and(|mqtt| mqtt.home_assistant),
        updates: updates(config)?,
        configuration: config.to_json(),
        configure,
        opening: None,
        backbone_model: config.backbone.model.clone(),
    })
}

/// Who may sign updates, and how long a chunk may be for the longest topic that it comes on.
fn updates(config: &Config) -> Result<UpdateSettings, BadSettings> {
    let packet = config.mqtt.as_ref().map_or(0, |mqtt| {
        let chunk = InboundTopic::UpdateChunk(UpdateKind::Backbone, Digest([0; 32]), u32::MAX);
        let name = format!("{}/{}/{chunk}", mqtt.prefix, config.device.id);
        mqtt.max_packet_bytes.saturating_sub(name.len() + mqtt::HEADER_BYTES)
    });
    Ok(UpdateSettings {
        keys: read_keys(&config.trusted_keys).map_err(bad("updates.trusted_keys"))?,
        device: config.device.id.clone(),
        chunk_bytes_max: CHUNK_BYTES_MAX.min(packet as u64),
    })
}

/// What a sample takes in the store, about: its embedding and some four hundred bytes of rows and indices.
fn sample_bytes(config: &Config, dim: usize) -> u64 {
    let value = match config.store.precision {
        config::Precision::F16 => 2,
        config::Precision::F32 => 4,
    };
    (dim * value + 400) as u64
}

/// The watcher's settings.
pub(super) fn watched(config: &Config) -> watch::Settings {
    let folder = |watch: &config::Watch| WatchedFolder {
        path: watch.path.clone(),
        recursive: watch.recursive,
        poll: match watch.poll {
            config::Poll::Auto => Poll::Auto,
            config::Poll::Always => Poll::Always,
            config::Poll::Never => Poll::Never,
        },
    };
    watch::Settings::new(config.watch.iter().map(folder).collect())
}

/// What the device's topics begin with; without a broker nobody sees it.
fn base(config: &Config) -> Result<Base, BadSettings> {
    let prefix = config.mqtt.as_ref().map_or("edgetuned", |mqtt| mqtt.prefix.as_str());
    Base::new(prefix, &config.device.id).map_err(bad("mqtt.prefix"))
}

/// The link's settings for a program that talks to the device of this id; `None` when MQTT is off.
///
/// # Errors
/// [`BadSettings`] when the URL, the prefix or the id cannot be.
pub fn broker(config: &Config) -> Result<Option<mqtt::Settings>, BadSettings> {
    mqtt(config, credentials_folder().as_deref(), 0)
}

/// Where systemd puts the credentials of this service, if it gave any.
#[must_use]
pub fn credentials_folder() -> Option<PathBuf> {
    std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)
}

/// The file with the password: `mqtt.password_file`, else the credential `mqtt_password` where one was given to us.
#[must_use]
pub fn password_file(mqtt: &config::Mqtt, credentials: Option<&Path>) -> Option<PathBuf> {
    let credential = || credentials.map(|folder| folder.join("mqtt_password")).filter(|file| file.exists());
    mqtt.password_file.clone().or_else(|| mqtt.username.as_ref().and_then(|_| credential()))
}

/// The link's settings; `None` when MQTT is off. `credentials` is [`credentials_folder`].
pub(super) fn mqtt(
    config: &Config,
    credentials: Option<&Path>,
    boot_seq: u64,
) -> Result<Option<mqtt::Settings>, BadSettings> {
    let Some(mqtt) = &config.mqtt else { return Ok(None) };
    let certificate = |(cert_file, key_file): (&PathBuf, &PathBuf)| ClientCertificate {
        cert_file: cert_file.clone(),
        key_file: key_file.clone(),
    };
    let Digest(name) = Digest::of(config.device.id.as_bytes());
    let seed = u64::from_le_bytes(name[..8].try_into().expect("eight of 32 bytes"));
    Ok(Some(mqtt::Settings {
        broker: mqtt.url.parse::<BrokerUrl>().map_err(bad("mqtt.url"))?,
        base: base(config)?,
        credentials: mqtt.username.as_ref().map(|username| Credentials {
            username: username.clone(),
            password_file: password_file(mqtt, credentials),
        }),
        tls: Tls {
            ca_file: mqtt.ca_file.clone(),
            client: mqtt.cert_file.as_ref().zip(mqtt.key_file.as_ref()).map(certificate),
        },
        max_packet_bytes: mqtt.max_packet_bytes,
        // Each device waits in its own rhythm, so that a fleet does not come back all at once.
        retry: Retry { seed, max: mqtt.reconnect_max, ..Retry::default() },
        patience: Patience::default(),
        boot_seq,
    }))
}
