//! The sorting line: pictures fall into the watched folder, people label them, the device answers on the broker.

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::time::{Duration, Instant};

use edgetuned_learn::words::SampleId;
use serde_json::{Value, json};

use crate::Outcome;
use crate::broker::{Heard, Listener};
use crate::daemon::Daemon;
use crate::lamp;
use crate::pictures::Picture;
use crate::teller::Teller;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(1);

/// Messages of the device that the story has not used yet.
#[derive(Default)]
pub struct Inbox {
    /// Whether it is there.
    pub online: bool,
    /// What it is, from its `info`.
    pub info: Option<Value>,
    /// Predictions by image.
    pub predictions: HashMap<String, Value>,
    /// Predictions about the lamp, by image.
    pub of_lamp: HashMap<String, Value>,
    /// Changes of the lamp's state, oldest first.
    pub lamp_states: VecDeque<Value>,
    /// Reports of trainings, oldest first.
    pub results: VecDeque<Value>,
}

/// The line, and the person who labels beside it.
pub struct Line<'a> {
    /// What runs there.
    pub daemon: Daemon,
    listener: Listener,
    teller: &'a Teller,
    inbox: Inbox,
    placed: usize,
    phase: String,
    /// What a person saw of the lamp, in the order of the pictures.
    pub lamps: Vec<(SampleId, String)>,
}

impl<'a> Line<'a> {
    /// A line on which nothing has happened yet.
    pub fn new(daemon: Daemon, listener: Listener, teller: &'a Teller) -> Self {
        Self { daemon, listener, teller, inbox: Inbox::default(), placed: 0, phase: String::new(), lamps: Vec::new() }
    }

    /// Puts a picture into the watched folder, in its class's subfolder when a person files it.
    pub fn place(&mut self, picture: &Picture, filed_as: Option<&str>) -> Outcome<SampleId> {
        let bytes = picture.bytes()?;
        let mut folder = self.daemon.camera_folder();
        if let Some(class) = filed_as {
            folder.push(class);
            fs::create_dir_all(&folder)?;
        }
        self.placed += 1;
        let name = format!("{:05}.{}", self.placed, picture.extension());
        // As good cameras do: written under a hidden name, then renamed.
        let unfinished = folder.join(format!(".{name}"));
        fs::write(&unfinished, &bytes)?;
        fs::rename(unfinished, folder.join(name))?;
        let image = SampleId::of(&bytes);
        self.lamps.extend(picture.is_lamp_on().map(|is_on| (image, lamp::word(is_on).to_owned())));
        Ok(image)
    }

    /// Labels images over MQTT, by their SHA-256.
    pub fn label(&self, labels: &[(SampleId, String)]) -> Outcome<()> {
        let list: Vec<_> = labels.iter().map(|(id, class)| json!({"image": id.to_string(), "label": class})).collect();
        self.listener.publish("label", &list.into())
    }

    /// The same about the lamp.
    pub fn label_lamp(&self, labels: &[(SampleId, String)]) -> Outcome<()> {
        let of_lamp = |(id, word): &(SampleId, String)| json!({"task": "lamp", "image": id.to_string(), "label": word});
        self.listener.publish("label", &labels.iter().map(of_lamp).collect())
    }

    /// What is said about the lamp in an image, as soon as it is there.
    pub fn lamp_prediction(&mut self, image: SampleId) -> Outcome<Value> {
        let image = image.to_string();
        self.until(&format!("a prediction of the lamp in image {}", &image[..12]), |inbox| inbox.of_lamp.remove(&image))
    }

    /// The prediction for an image, as soon as it is there.
    pub fn prediction(&mut self, image: SampleId) -> Outcome<Value> {
        let image = image.to_string();
        self.until(&format!("a prediction for image {}", &image[..12]), |inbox| inbox.predictions.remove(&image))
    }

    /// Listens until `check` finds what it looks for.
    pub fn until<T>(&mut self, what: &str, check: impl FnMut(&mut Inbox) -> Option<T>) -> Outcome<T> {
        let found = self.within(PATIENCE, what, check)?;
        found.ok_or_else(|| format!("waited {} s for {what}", PATIENCE.as_secs()).into())
    }

    /// The same for so long at most; `None` when it did not come.
    pub fn within<T>(
        &mut self,
        patience: Duration,
        what: &str,
        mut check: impl FnMut(&mut Inbox) -> Option<T>,
    ) -> Outcome<Option<T>> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = check(&mut self.inbox) {
                return Ok(Some(found));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            // The daemon may end without a message on the broker, so its process is checked as well.
            if let Some(status) = self.daemon.ended()? {
                return Err(format!("edgetuned ended ({status}) while the demo waited for {what}").into());
            }
            match self.listener.next(Duration::from_millis(200))? {
                Some(Heard::Message(topic, payload)) => self.hear(&topic, payload),
                Some(Heard::Interrupted) => {
                    return Err("interrupted; the daemon is stopped and its folder removed".into());
                }
                Some(Heard::Lost(reason)) => return Err(format!("lost the broker: {reason}; run it again").into()),
                None => {}
            }
        }
    }

    fn hear(&mut self, topic: &str, payload: Value) {
        match topic {
            "status" => self.inbox.online = payload == "online",
            "info" => self.inbox.info = Some(payload),
            "prediction" | "task/lamp/prediction" => {
                let image = payload["image"].as_str().unwrap_or_default().to_owned();
                let about = if topic == "prediction" { &mut self.inbox.predictions } else { &mut self.inbox.of_lamp };
                about.insert(image, payload);
            }
            "train/result" | "task/lamp/train/result" => self.inbox.results.push_back(payload),
            // One training runs at a time.
            "train/state" | "task/lamp/train/state" => {
                let phase = payload["phase"].as_str().unwrap_or_default();
                if phase != self.phase && phase != "idle" {
                    self.teller.line(&format!("{topic}: {phase}"));
                }
                phase.clone_into(&mut self.phase);
            }
            // At the connection it is published, too; then there was none before.
            "task/lamp/state" if !payload["previous"].is_null() => self.inbox.lamp_states.push_back(payload),
            "event" if ["error", "quarantined"].iter().any(|kind| payload["event_type"] == *kind) => {
                let reason = payload["reason"].as_str().unwrap_or("without a reason");
                self.teller.odd(&format!("event: {} ({reason})", payload["event_type"].as_str().unwrap_or_default()));
            }
            _ => {}
        }
    }
}
