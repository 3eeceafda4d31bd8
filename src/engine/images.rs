//! What a file and its image change.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Engine;
use super::effect::{Effect, Fate, LabelSource, NewSample, Predicted, Write};
use super::event::{EmbeddedImage, FileStamp, IngestOutcome, Ingested, Sighting};
use crate::wire::Happening;
use crate::words::{Label, Now};

impl Engine {
    pub(super) fn sighted(&mut self, now: Now, sighting: &Sighting) {
        let settle = self.settle_of(sighting.root);
        if let Some(given_up) = self.settling.sighted(now, sighting, settle) {
            self.quarantine(now, given_up.path, given_up.stamp, given_up.reason);
        }
    }

    pub(super) fn ingested(&mut self, now: Now, ingested: Ingested) {
        let Ingested { root, path, stamp, outcome } = ingested;
        let settle = self.settle_of(root);
        match outcome {
            IngestOutcome::Image(image) => {
                let ready_at = self.settling.finished(now, &path).unwrap_or(now.mono);
                self.image(now, root, &path, stamp, *image, now.mono.saturating_sub(ready_at));
            }
            IngestOutcome::Incomplete { reason } | IngestOutcome::Unreadable { reason } => {
                self.settling.postponed(now, &path, settle, Some(reason));
            }
            IngestOutcome::Changed => self.settling.postponed(now, &path, settle, None),
            IngestOutcome::Gone => {
                self.settling.finished(now, &path);
            }
            IngestOutcome::Bad { reason } => {
                self.settling.finished(now, &path);
                self.quarantine(now, path, stamp, reason);
            }
        }
    }

    fn settle_of(&self, root: usize) -> Duration {
        self.settings.roots.get(root).map_or(Duration::from_millis(500), |root| root.settle)
    }

    fn quarantine(&mut self, now: Now, path: PathBuf, stamp: FileStamp, reason: String) {
        if self.outage.lasts() {
            // It is found again, and put aside, when that can be remembered.
            self.settling.passed_over();
            return;
        }
        self.reports.quarantined += 1;
        self.announce(
            now,
            Happening::Quarantined { path: path.to_string_lossy().into_owned(), reason: reason.clone() },
        );
        self.write(Write::File { path, stamp, fate: Fate::Quarantined(reason) });
    }

    /// A new image is stored, predicted and reported in one transaction; a known one only gains a path, an embedding
    /// or a label. So a file counts once, whatever its name and however often the daemon died over it.
    fn image(&mut self, now: Now, root: usize, path: &Path, stamp: FileStamp, image: EmbeddedImage, latency: Duration) {
        self.reports.images_total += 1;
        if self.outage.lasts() {
            self.only_predict(now, path, &image, latency);
            return;
        }
        let (id, here_before, twins) = (image.id, image.here_before, image.twins.clone());
        self.write(Write::File { path: path.to_owned(), stamp, fate: Fate::Sample(id) });
        if !self.catalogue.contains(&id) {
            self.new_sample(now, path, image, latency);
        } else if !image.embed.is_zero() {
            self.write(Write::Embedding { id, embedding: image.embedding });
            self.effects.push(Effect::Learn(vec![id]));
        }
        if !here_before && let Some(label) = self.folder_label(now, root, path) {
            self.label_by_folder(now, id, label, root, &twins);
        }
    }

    /// Stores, predicts and reports an image that was never seen, and gives it the label that waited for it.
    fn new_sample(&mut self, now: Now, path: &Path, image: EmbeddedImage, latency: Duration) {
        let id = image.id;
        let predicted = image.prediction.as_ref().and_then(|scored| {
            let (label, probability) = scored.top.first()?.clone();
            Some(Predicted { label, probability, head: scored.head.version })
        });
        self.catalogue.add(id, predicted.as_ref().map(|predicted| (predicted.label.clone(), predicted.head)));
        self.asks.outdated();
        if !self.outage.had_said(&id) {
            self.report_prediction(now, path, &image, latency);
        }
        if let Some(scored) = &image.prediction {
            self.watch_streams(now, scored);
            self.shadowed(now, id, scored);
            self.report_novel(now, id, scored);
        }
        self.write(Write::Sample(Box::new(NewSample {
            id,
            path: path.to_owned(),
            bytes: image.bytes,
            arrived_at: now.wall,
            embedding: image.embedding,
            group: image.group,
            predicted,
        })));
        for awaited in self.catalogue.claim(&id) {
            self.write(Write::ForgetAwaited { prefix: awaited.prefix });
            self.set_label(now, id, Some(awaited.label), awaited.source);
        }
    }

    fn folder_label(&mut self, now: Now, root: usize, path: &Path) -> Option<Label> {
        match self.settings.roots.get(root)?.label_of(path) {
            Ok(label) => label,
            Err(reason) => {
                self.error(now, "watch", reason);
                None
            }
        }
    }

    /// A file in a class folder labels its image; where the same bytes also lie in another class's folder, the first
    /// label stays and somebody is told.
    fn label_by_folder(&mut self, now: Now, id: crate::words::SampleId, label: Label, root: usize, twins: &[PathBuf]) {
        let roots = self.settings.roots.get(root).into_iter().chain(&self.settings.roots);
        let label_of = |twin: &PathBuf| roots.clone().find_map(|root| root.label_of(twin).ok()?);
        let other = twins.iter().filter_map(label_of).find(|other| *other != label);
        match (self.catalogue.label(&id), other) {
            (Some(first), Some(other)) if *first != label => {
                let reason = format!(
                    "image {id} lies in the folders {other} and {label}; it stays {first}: remove one of the files"
                );
                self.error(now, "watch", reason);
            }
            _ => self.set_label(now, id, Some(label), LabelSource::Folder),
        }
    }
}
