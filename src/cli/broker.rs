//! The broker of the commands that talk to devices over MQTT.

use clap::Args as ClapArgs;

use super::args::Args;
use super::configuration;
use super::failure::Failure;
use crate::config;
use crate::mqtt::Settings;
use crate::shared::settings;
use crate::wire::DevicePattern;

/// Which broker, and which topics.
#[derive(Debug, ClapArgs)]
pub struct BrokerChoice {
    /// The broker [default: the configuration's, else this machine's]
    #[arg(long)]
    pub url: Option<String>,
    /// What topics begin with [default: the configuration's, else edgetuned]
    #[arg(long)]
    pub prefix: Option<String>,
}

impl BrokerChoice {
    /// The link's settings, as these options and the configuration say; for `device`, or for whichever is named later.
    pub fn settings(&self, args: &Args, device: Option<&str>) -> Result<Settings, Failure> {
        let mut config = match configuration::if_named(args)? {
            Some(config) => config,
            None => config::load(&[], "publisher").map_err(Failure::problems)?.config,
        };
        let Some(mqtt) = &mut config.mqtt else {
            return Err(Failure::usage("mqtt.url is null in the configuration; give the broker with --url"));
        };
        if let Some(url) = &self.url {
            mqtt.url.clone_from(url);
        }
        if let Some(prefix) = &self.prefix {
            mqtt.prefix.clone_from(prefix);
        }
        if let Some(device) = device {
            device.clone_into(&mut config.device.id);
        }
        let settings = settings::broker(&config).map_err(Failure::usage)?;
        settings.ok_or_else(|| Failure::usage("give the broker with --url"))
    }
}

/// The broker knows none of the devices that `option` means.
pub fn no_device(devices: &DevicePattern, option: &str, settings: &Settings) -> Failure {
    let topic = settings.base.of_every_device("info");
    Failure::unavailable(format!(
        "no device {devices} has an info on {topic} at {}; check {option}, --prefix and --url, and that the devices have been \
         connected to this broker",
        settings.broker
    ))
}
