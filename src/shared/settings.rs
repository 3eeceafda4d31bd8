//! Settings that the daemon and the commands make of the configuration in the same way.

use std::path::{Path, PathBuf};

use crate::config::{self, Config, Feed, ImageSource};
use crate::head::DoubtRates;
use crate::mqtt::{self, ClientCertificate, Credentials, Retry, Timeouts, Tls};
use crate::train;
use crate::wire::Base;
use crate::words::{BrokerUrl, Digest, Precision, SourceId, TopicFilter};

/// A setting that only its own module can check.
#[derive(Debug, thiserror::Error)]
#[error("{key} cannot be used; run 'edgetuned check' and correct the configuration")]
pub struct BadSettings {
    /// The key.
    pub key: &'static str,
    /// What is wrong with it.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Wraps the error of a module with the key that caused it.
pub(crate) fn bad<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    key: &'static str,
) -> impl FnOnce(E) -> BadSettings {
    move |source| BadSettings { key, source: source.into() }
}

/// How embeddings are stored; half precision without a configuration.
#[must_use]
pub fn precision(config: Option<&Config>) -> Precision {
    config.map(|config| config.store.precision).unwrap_or_default()
}

/// The rates at which predictions doubt; the defaults without a configuration.
#[must_use]
pub fn doubt_rates(config: Option<&Config>) -> DoubtRates {
    config.map_or(DoubtRates::DEFAULT, |config| rates(&config.prediction))
}

/// The rates at which predictions with these settings doubt.
pub(crate) fn rates(prediction: &config::Prediction) -> DoubtRates {
    DoubtRates { alpha: prediction.abstain_alpha, percentile: prediction.unknown_percentile }
}

/// How heads are fitted.
#[must_use]
pub fn fit_settings(training: &config::Training) -> train::Settings {
    train::Settings {
        kind: training.head,
        solver: training.solver,
        l2: training.l2,
        class_weights: training.class_weights,
        seed: training.seed,
        ..train::Settings::default()
    }
}

/// How the second phase is trained.
#[must_use]
pub fn tune_settings(training: &config::Training) -> train::TuneSettings {
    train::TuneSettings {
        layers: training.tune_layers,
        learning_rate: training.tune_learning_rate,
        schedule: training.tune_schedule,
        views: training.tune_views,
        epochs: training.tune_epochs.map(|epochs| epochs as usize),
        first: training.solver,
        class_weights: training.class_weights,
        seed: training.seed,
        ..train::TuneSettings::default()
    }
}

/// The prefix of the device's topics; unused without a broker.
pub(crate) fn base(config: &Config) -> Result<Base, BadSettings> {
    let prefix = config.mqtt.as_ref().map_or("edgetuned", |mqtt| mqtt.prefix.as_str());
    let base = Base::new(prefix, &config.device.id).map_err(bad("mqtt.prefix"))?;
    match &config.mqtt {
        Some(mqtt) => base.with_discovery(&mqtt.discovery_prefix).map_err(bad("mqtt.discovery_prefix")),
        None => Ok(base),
    }
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
pub(crate) fn mqtt(
    config: &Config,
    credentials: Option<&Path>,
    boot_seq: u64,
) -> Result<Option<mqtt::Settings>, BadSettings> {
    let Some(mqtt) = &config.mqtt else { return Ok(None) };
    let certificate = |(cert_file, key_file): (&PathBuf, &PathBuf)| ClientCertificate {
        cert_file: cert_file.clone(),
        key_file: key_file.clone(),
    };
    Ok(Some(mqtt::Settings {
        broker: mqtt.url.parse::<BrokerUrl>().map_err(bad("mqtt.url"))?,
        base: base(config)?,
        client_id: mqtt.client_id.clone().unwrap_or_else(|| format!("{}-{}", mqtt.prefix, config.device.id)),
        home_assistant: mqtt.home_assistant,
        frames: config.sources.iter().filter_map(published).collect(),
        credentials: mqtt.username.as_ref().map(|username| Credentials {
            username: username.clone(),
            password_file: password_file(mqtt, credentials),
        }),
        tls: Tls {
            ca_file: mqtt.ca_file.clone(),
            client: mqtt.cert_file.as_ref().zip(mqtt.key_file.as_ref()).map(certificate),
        },
        max_packet_bytes: mqtt.max_packet_kb << 10,
        // Each device waits for a different time, so that a fleet does not reconnect all at once.
        retry: Retry { seed: seed(config), max: mqtt.reconnect_max, ..Retry::default() },
        timeouts: Timeouts::default(),
        boot_seq,
    }))
}

/// Of what devices do at random, so that a fleet does not do it all at once.
pub(crate) fn seed(config: &Config) -> u64 {
    let Digest(name) = Digest::of(config.device.id.as_bytes());
    u64::from_le_bytes(name[..8].try_into().expect("eight of 32 bytes"))
}

/// The topic of a source whose frames are published.
fn published(source: &ImageSource) -> Option<(SourceId, TopicFilter)> {
    if let Feed::Mqtt(filter) = &source.feed { Some((source.id.clone(), filter.clone())) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_without_a_configuration_are_those_of_an_empty_one() {
        let config = config::load(&[], "host").unwrap().config;
        assert_eq!(doubt_rates(Some(&config)), DoubtRates::DEFAULT);
        assert_eq!(doubt_rates(None), DoubtRates::DEFAULT);
    }
}
