//! The configuration in effect, for those who ask the device.

use serde_json::{Value, json};

use super::settings::{Config, L2, Mqtt, Watch};
use super::{duration, keys};

impl Config {
    /// The settings under the keys of the YAML, without secrets; names of files that hold them are told. Read as a
    /// layer, it gives these settings again.
    pub fn to_json(&self) -> Value {
        json!({
            "device": { "id": self.device.id, "name": self.device.name },
            "backbone": {
                "model": self.backbone.model,
                "threads": self.backbone.threads,
                "execution_providers": [keys::PROVIDER],
            },
            "watch": self.watch.iter().map(watch).collect::<Vec<_>>(),
            "store": {
                "path": self.store.path,
                "precision": self.store.precision.name(),
                "quota_mb": self.store.quota_bytes >> 20,
            },
            "training": {
                "schedule": self.training.schedule,
                "min_new_labels": self.training.min_new_labels,
                "cooldown": duration::show(self.training.cooldown),
                "head": self.training.head.name(),
                "solver": self.training.solver.name(),
                "l2": match self.training.l2 {
                    L2::Auto => json!("auto"),
                    L2::Fixed(lambda) => json!(lambda),
                },
                "class_weights": self.training.class_weights.name(),
                "seed": self.training.seed,
                "max_samples": self.training.max_samples,
                "time_limit": duration::show(self.training.time_limit),
                "priority": self.training.priority.name(),
                "pause_above_c": self.training.pause_above_c,
                "pause_above_load": self.training.pause_above_load,
            },
            "promotion": {
                "policy": self.promotion.policy.name(),
                "margin": self.promotion.margin,
                "max_class_recall_loss": self.promotion.max_class_recall_loss,
                "shadow_images": self.promotion.shadow_images,
                "instant": self.promotion.instant,
            },
            "prediction": {
                "top_k": self.prediction.top_k,
                "unknown": { "percentile": self.prediction.unknown_percentile },
                "abstain": { "alpha": self.prediction.abstain_alpha },
            },
            "updates": { "trusted_keys": self.trusted_keys },
            "mqtt": self.mqtt.as_ref().map_or_else(|| json!({ "url": null }), mqtt),
        })
    }
}

fn watch(watch: &Watch) -> Value {
    json!({
        "path": watch.path,
        "recursive": watch.recursive,
        "label_from": if watch.label_from_folder { "folder" } else { "none" },
        "settle": duration::show(watch.settle),
        "burst_gap": duration::show(watch.burst_gap),
        "poll": watch.poll.name(),
    })
}

fn mqtt(mqtt: &Mqtt) -> Value {
    json!({
        "url": mqtt.url,
        "prefix": mqtt.prefix,
        "username": mqtt.username,
        "password_file": mqtt.password_file,
        "ca_file": mqtt.ca_file,
        "cert_file": mqtt.cert_file,
        "key_file": mqtt.key_file,
        "home_assistant": mqtt.home_assistant,
        "spool_mb": mqtt.spool_bytes >> 20,
        "spool_max_age": duration::show(mqtt.spool_age_max),
        "max_packet_kb": mqtt.max_packet_bytes >> 10,
        "reconnect_max": duration::show(mqtt.reconnect_max),
    })
}
