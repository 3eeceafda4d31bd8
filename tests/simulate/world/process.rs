//! How a process starts and ends: fresh, within the process, by a crash or by request.

use std::time::Duration;

use edgetuned::engine::{BackboneChoice, BackboneFacts, Engine, Event, InstalledBackbone, ProcessEvent, Write};
use edgetuned::head::BackboneRef;

use super::World;
use super::updates::space_of;

impl World {
    /// A process starts with nothing but what the model kept.
    pub(super) fn boot(&mut self) {
        self.boots += 1;
        self.processes += 1;
        self.settings.boot = format!("boot-{}", self.boots);
        self.events.clear();
        self.in_flight.clear();
        self.waiting.clear();
        self.cameras.process_ends();
        self.connected = false;
        self.link = super::refusing::Link::default();
        self.lose_clock();
        self.storage.forget();
        self.forget_workers();
        self.begin();
        self.engine = Engine::new(self.settings.clone(), self.model.snapshot());
        self.start();
    }

    /// Everything but the link starts anew within the process.
    pub(super) fn restart(&mut self) {
        self.restarts += 1;
        self.boots += 1;
        let events = std::mem::take(&mut self.events);
        self.lose_frames(events.iter().map(|(_, event)| event));
        self.events = events;
        self.events.retain(|(_, event)| outlives(event));
        self.in_flight.clear();
        self.note_deliveries();
        self.forget_workers();
        self.begin();
        let fresh = || Engine::new(self.settings.clone(), self.model.snapshot());
        let former = std::mem::replace(&mut self.engine, fresh());
        self.engine = Engine::after(former.carry(), self.settings.clone(), self.model.snapshot());
        self.start();
        if self.is_full {
            self.scan();
        }
    }

    /// Drops the state of an engine's workers, and results that were on their way.
    fn forget_workers(&mut self) {
        self.under_way = 0;
        self.open_files.clear();
        self.serving.clear();
        self.shadow.clear();
        self.listings_are_held = false;
        self.feedback.clear();
        self.work.clear();
        self.observed.engine_begins(self.now.mono, self.clock.elapsed);
    }

    /// What comes before an engine: which settings and which backbone are to be tried.
    fn begin(&mut self) {
        if !self.is_full {
            drop(self.model.config_patch.starting());
            return;
        }
        loop {
            let mut memory = self.model.backbone.clone();
            let writes = memory.starting(self.now.wall);
            self.commit_start(&writes);
            let mut config = self.model.config_patch.clone();
            let was_reverted = config.reverted().is_some();
            let writes = config.starting();
            self.commit_start(&writes);
            let taken_back = self.model.config_patch.reverted().filter(|_| !was_reverted);
            self.settings.opening = taken_back.map(|reason| format!("taken back: {reason}"));
            let is_fatal = self.model.config_patch.patch.as_ref().is_some_and(|patch| patch.contains_key("fatal"));
            if self.backbone_opens() && !is_fatal {
                break;
            }
            let mut memory = self.model.backbone.clone();
            let mut writes = memory.revert("it does not open", self.now.wall);
            let mut config = self.model.config_patch.clone();
            writes.extend(config.revert("the daemon does not start with it"));
            assert!(!writes.is_empty(), "the daemon does not start, and nothing is in probation");
            self.commit_start(&writes);
        }
        self.read_configuration();
        self.settings.backbone = self.chosen_backbone();
        self.settings.space = space_of(self.settings.backbone.sha256);
        self.settings.space_on_cpu = self.settings.space;
        for place in 0..self.settings.tasks.len() {
            let space = self.space_of_task(&self.settings.tasks[place].id, self.settings.space);
            self.settings.tasks[place].space = space;
        }
        self.start_cameras();
        self.remember_backbone();
        self.model.spaces = self.settings.tasks.iter().map(|task| (task.id.clone(), task.space)).collect();
        self.start_adapter();
    }

    /// The backbone of a start: one that took over, or the device's own, which never stops meaning the same.
    fn chosen_backbone(&self) -> BackboneRef {
        let (configured, meant) = (&*self.settings.backbone_model, Some(space_of(self.own.sha256)));
        let facts = BackboneFacts { configured, is_path: false, meant, stored: meant };
        match self.model.backbone.choose(facts, Vec::new) {
            Ok(BackboneChoice::Installed(InstalledBackbone { files, .. })) => {
                BackboneRef { name: "remote".into(), sha256: self.model_of(files), dim: 1 }
            }
            Ok(BackboneChoice::Configured) => self.own.clone(),
            other => panic!("a backbone is kept or missed that nobody replaced: {other:?}"),
        }
    }

    fn remember_backbone(&mut self) {
        let write = self.model.backbone.clone().serves(self.settings.served());
        if let Some(Write::BackboneState(state)) = write {
            self.model.backbone = *state;
        }
    }

    /// What a start changes; a store that refuses would end the process, so it does so no longer.
    fn commit_start(&mut self, writes: &[Write]) {
        if writes.is_empty() {
            return;
        }
        self.storage.refuses = None;
        let before = self.model.backbone.installed.clone();
        self.observed.reverts = true;
        self.commit(writes);
        self.observed.reverts = false;
        self.counts.backbones_reverted += u64::from(before != self.model.backbone.installed);
    }

    fn start(&mut self) {
        if self.folder_is_lost {
            self.report_folder();
        }
        self.count_tuned_start();
        let step = self.engine.start(self.now);
        self.recorded(&step);
        self.apply(step);
    }

    pub(super) fn crash(&mut self) {
        self.crashes += 1;
        self.process_ends();
    }

    pub(super) fn process_ends(&mut self) {
        self.now.mono = Duration::ZERO;
        self.scan_at = Duration::ZERO;
        self.listed_at = Duration::ZERO;
        self.metrics_at = Duration::ZERO;
        self.boot();
    }

    /// Asks the daemon to end, as the service manager does.
    pub fn stop(&mut self) {
        self.later(0, Event::Process(ProcessEvent::StopRequested));
    }

    /// Asks it to read its configuration again.
    pub fn reload(&mut self) {
        self.later(0, Event::Process(ProcessEvent::ReloadRequested));
    }
}

/// What is as true for the next engine of the process: it comes from the link or from a signal.
pub(super) fn outlives(event: &Event) -> bool {
    matches!(
        event,
        Event::Broker(_)
            | Event::Socket(_)
            | Event::Process(ProcessEvent::ReloadRequested | ProcessEvent::StopRequested)
    )
}
