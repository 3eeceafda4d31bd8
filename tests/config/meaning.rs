//! What the settings mean, and what is told of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use edgetuned::config::{self, KEYS, LabelFrom, Prediction, Priority};
use edgetuned::engine::PromotionPolicy;
use edgetuned::train::{ClassWeights, HeadKind, L2, Solver};
use edgetuned::words::{Execution, Poll, Precision};

use crate::{good, load, load_text};

#[test]
fn without_any_file_the_defaults_of_the_contract_hold() {
    let config = load(&[]).unwrap().config;
    assert_eq!((config.device.id.as_str(), config.device.name.as_str()), ("line-3-local", "line-3-local"));
    assert_eq!((config.backbone.model.as_str(), config.backbone.threads), ("default", 1));
    assert_eq!(config.watch, []);
    assert_eq!((config.store.path, config.store.precision), (PathBuf::from("/var/lib/edgetuned"), Precision::F16));
    let training = config.training;
    assert_eq!(training.schedule.as_deref(), Some("0 3 * * *"));
    assert_eq!((training.min_new_labels, training.cooldown), (10, Duration::from_mins(10)));
    assert_eq!((training.head, training.solver, training.l2), (HeadKind::Softmax, Solver::Lbfgs, L2::Auto));
    assert_eq!((training.class_weights, training.seed), (ClassWeights::Balanced, 0));
    assert_eq!(config.promotion.policy, PromotionPolicy::Gated);
    assert!((config.promotion.margin - 0.005).abs() < 1e-15);
    assert!((config.promotion.max_class_recall_loss - 0.05).abs() < 1e-15);
    assert_eq!((config.promotion.shadow_images, config.promotion.instant), (0, true));
    assert_eq!(config.store.quota_mb, 512);
    assert_eq!((training.max_samples, training.time_limit), (20_000, Duration::from_mins(30)));
    assert_eq!((training.priority, training.pause_above_c, training.pause_above_load), (Priority::Low, None, None));
    let Prediction { top_k, unknown_percentile, abstain_alpha } = config.prediction;
    assert_eq!(top_k, 3);
    assert!((unknown_percentile - 99.0).abs() < 1e-12 && (abstain_alpha - 0.1).abs() < 1e-12);
    assert!(config.updates.trusted_keys.is_empty());
    let mqtt = config.mqtt.unwrap();
    assert_eq!((mqtt.url.as_str(), mqtt.prefix.as_str()), ("mqtt://localhost:1883", "edgetuned"));
    assert_eq!((mqtt.username, mqtt.password_file, mqtt.ca_file), (None, None, None));
    assert_eq!((mqtt.cert_file, mqtt.key_file), (None, None));
    assert_eq!((mqtt.spool_mb, mqtt.spool_max_age), (64, Duration::from_hours(7 * 24)));
    assert_eq!((mqtt.max_packet_kb, mqtt.reconnect_max), (1024, Duration::from_mins(1)));
}

#[test]
fn every_setting_arrives_where_it_belongs() {
    let config = good(
        r#"
device: { id: cam_1, name: "Sorting line: 3" }
backbone: { model: /opt/m.yaml, threads: 4 }
watch:
  - { path: /srv/a/, recursive: false, label_from: none, settle: 2s, poll: always, burst_gap: 3s }
  - path: /srv/b
store: { path: /data/./state, precision: f32, quota_mb: 20 }
training: { schedule: null, min_new_labels: 1, cooldown: 0s, head: rp-ridge, solver: adam, l2: 1e-3, class_weights: none, seed: 18446744073709551615,
            max_samples: 50, time_limit: 5s, priority: normal, pause_above_c: 75, pause_above_load: 1.5 }
promotion: { policy: manual, margin: 0, max_class_recall_loss: 1, shadow_images: 40, instant: false }
prediction: { top_k: 5, unknown: { percentile: 97.5 }, abstain: { alpha: 0.2 } }
updates: { trusted_keys: [/etc/keys/a.pub, /etc/keys//b.pub] }
mqtt: { url: "mqtts://b:8884", prefix: plant/hall-2, username: "007", password_file: /run/p, ca_file: /c, cert_file: /d,
        key_file: /e, spool_mb: 1, spool_max_age: 1h, max_packet_kb: 16,
        reconnect_max: 250ms }
"#,
    );
    assert_eq!((config.device.id.as_str(), config.device.name.as_str()), ("cam_1", "Sorting line: 3"));
    assert_eq!((config.backbone.model.as_str(), config.backbone.threads), ("/opt/m.yaml", 4));
    let [a, b] = &config.watch[..] else { panic!("{:?}", config.watch) };
    assert_eq!((a.path.as_os_str().to_str(), a.recursive, a.label_from), (Some("/srv/a"), false, LabelFrom::None));
    assert_eq!((a.settle, a.poll, a.burst_gap), (Duration::from_secs(2), Poll::Always, Duration::from_secs(3)));
    assert_eq!((b.path.as_path(), b.recursive, b.label_from), (Path::new("/srv/b"), true, LabelFrom::Folder(1)));
    assert_eq!((b.settle, b.poll), (Duration::from_millis(500), Poll::Auto));
    assert_eq!(config.store.path.as_os_str(), "/data/state");
    assert_eq!(config.store.precision, Precision::F32);
    let training = &config.training;
    assert_eq!((training.schedule.as_ref(), training.min_new_labels), (None, 1));
    assert_eq!((training.cooldown, training.solver, training.l2), (Duration::ZERO, Solver::ADAM, L2::Fixed(1e-3)));
    assert_eq!((training.class_weights, training.seed), (ClassWeights::None, u64::MAX));
    assert_eq!(training.head, HeadKind::RpRidge);
    assert_eq!((training.max_samples, training.time_limit), (50, Duration::from_secs(5)));
    assert_eq!((training.priority, training.pause_above_c), (Priority::Normal, Some(75.0)));
    assert_eq!((training.pause_above_load, config.store.quota_mb), (Some(1.5), 20));
    assert_eq!(config.promotion.policy, PromotionPolicy::Manual);
    assert_eq!((config.promotion.shadow_images, config.promotion.instant), (40, false));
    let Prediction { top_k, unknown_percentile, abstain_alpha } = config.prediction;
    assert_eq!(top_k, 5);
    assert!((unknown_percentile - 97.5).abs() < 1e-12 && (abstain_alpha - 0.2).abs() < 1e-12);
    assert_eq!(config.updates.trusted_keys, ["/etc/keys/a.pub", "/etc/keys/b.pub"].map(PathBuf::from));
    let mqtt = config.mqtt.unwrap();
    assert_eq!((mqtt.url.as_str(), mqtt.prefix.as_str()), ("mqtts://b:8884", "plant/hall-2"));
    assert_eq!(mqtt.username.as_deref(), Some("007"));
    let files = [&mqtt.password_file, &mqtt.ca_file, &mqtt.cert_file, &mqtt.key_file];
    assert_eq!(
        files.map(|file| file.as_ref().and_then(|path| path.to_str())),
        [Some("/run/p"), Some("/c"), Some("/d"), Some("/e")]
    );
    assert_eq!((mqtt.spool_mb, mqtt.spool_max_age), (1, Duration::from_hours(1)));
    assert_eq!((mqtt.max_packet_kb, mqtt.reconnect_max), (16, Duration::from_millis(250)));
}

#[test]
fn the_whole_example_of_the_contract_loads() {
    let loaded = load_text(
        r#"device:   { id: line-3, name: "Sorting line 3" }        # id: [a-z0-9_-]{1,64}; default: host name
backbone: { model: default, threads: 1, execution_providers: [cpu] }   # model: a bundled name or a manifest's path
watch:
  - { path: /srv/camera, recursive: true, label_from: folder, settle: 500ms, poll: auto }
    # label_from: folder (an image directly in path has no label; in a subfolder, the subfolder's name) | none
store:    { path: /var/lib/edgetuned, quota_mb: 512, precision: f16, thumbnails: true }
training: { schedule: "0 3 * * *", min_new_labels: 10, cooldown: 10m, head: softmax, solver: lbfgs, l2: auto, class_weights: balanced, seed: 0 }
          # trains when the cron time comes and anything changed, or as soon as min_new_labels arrived, at most once per cooldown
promotion: { policy: gated, margin: 0.005, max_class_recall_loss: 0.05, shadow_images: 0 }    # gated | always | manual
prediction: { top_k: 3, unknown: { percentile: 99 }, abstain: { alpha: 0.1 } }
mqtt:     { url: "mqtt://localhost:1883", prefix: edgetuned, username: null, password_file: null, ca_file: null, cert_file: null, key_file: null,
            home_assistant: true, spool_mb: 64, spool_max_age: 7d, max_packet_kb: 1024 }
http:     { listen: "127.0.0.1:8787", token_file: null }    # listen: null switches it off
"#,
    )
    .unwrap();
    assert_eq!(loaded.config.device.name, "Sorting line 3");
    assert_eq!(loaded.config.http.listen, Some("127.0.0.1:8787".parse().unwrap()));
    assert_eq!(loaded.warnings, []);
}

#[test]
fn execution_providers_come_in_their_order_with_libraries_and_options() {
    let text = "backbone:
  threads: 2
  execution_providers: [webgpu, openvino, cpu]
  providers:
    openvino: { device_type: GPU, num_of_threads: 4, enable_qdq_optimizer: true }
    webgpu: { library: /opt//ep/libwebgpu.so }
    qnn:
";
    let backbone = load_text(text).unwrap().config.backbone;
    let execution = backbone.execution();
    assert_eq!((execution.threads, execution.names()), (2, vec!["webgpu".into(), "openvino".into(), "cpu".into()]));
    let [webgpu, openvino, cpu] = &execution.providers[..] else { panic!("{execution:?}") };
    assert_eq!((webgpu.library.as_deref(), webgpu.options.len()), (Some("/opt/ep/libwebgpu.so".as_ref()), 0));
    let options: Vec<_> = openvino.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(options, ["device_type=GPU", "enable_qdq_optimizer=true", "num_of_threads=4"]);
    assert_eq!((openvino.library.as_ref(), cpu.library.as_ref()), (None, None));
    assert_eq!(load(&[]).unwrap().config.backbone.execution(), Execution::on_cpu(1));
    let shown = serde_json::to_value(load_text(text).unwrap().config.to_json()).unwrap();
    let again = load_text(&shown.to_string()).unwrap().config;
    assert_eq!(again.backbone.execution(), execution, "the effective configuration says the same");
}

#[test]
fn providers_that_are_never_asked_are_warned_of() {
    let warnings = |list: &str| load_text(&format!("backbone: {{execution_providers: {list}}}")).unwrap().warnings;
    for list in ["[cpu]", "[openvino]", "[tensorrt, cuda, cpu]"] {
        assert_eq!(warnings(list), [], "{list}");
    }
    let [warning] = &warnings("[tensorrt, cuda]")[..] else { panic!("one warning") };
    assert!(warning.found.contains("cuda") && warning.remedy.contains("put cpu last"), "{warning}");
}

#[test]
fn the_effective_configuration_gives_the_same_settings_when_it_is_read() {
    let rich = "
watch: [{path: /srv/a, settle: 90s}, {path: /srv/b, poll: never, label_from: none, recursive: false}]
training: {schedule: null, l2: 0.5, seed: 7}
mqtt: {url: 'mqtts://b', username: me, password_file: /run/credentials/p, cert_file: /c, key_file: /k}
http: {listen: '[::]:8787', token_file: /t, allowed_hosts: [edge.lan], trusted_proxies: [10.0.0.0/8, '::1']}";
    for text in ["", "mqtt: {url: null}", rich] {
        let config = good(text);
        let json = config.to_json();
        assert_eq!(good(&json.to_string()), config);
        for key in KEYS.iter().filter(|key| !key.name.contains("[]")) {
            let there = json.pointer(&format!("/{}", key.name.replace('.', "/"))).is_some();
            let is_off = config.mqtt.is_none() && key.name.starts_with("mqtt.");
            // Who has none of these is told nothing of them.
            let is_of_lists = ["sources", "tasks"].contains(&key.name);
            assert!(there != is_of_lists || is_off, "{} in {json}", key.name);
        }
    }
}

#[test]
fn a_schedule_may_come_as_seldom_as_every_fourth_year() {
    let leap_day = good("training: {schedule: '0 3 29 2 *'}").training.schedule;
    assert_eq!(leap_day.as_deref(), Some("0 3 29 2 *"));
}

#[test]
fn a_device_without_an_id_has_the_host_name_made_fit() {
    for (host, id) in [
        ("raspberrypi", "raspberrypi"),
        ("Line-3.Plant_A.example", "line-3-plant_a-example"),
        ("späth", "sp-th"),
        ("...", "edgetuned"),
        ("", "edgetuned"),
    ] {
        assert_eq!(config::load(&[], host).unwrap().config.device.id, id);
    }
    assert_eq!(config::load(&[], &"x".repeat(300)).unwrap().config.device.id, "x".repeat(64));
}
