//! Cameras: what they send, the slot in which the newest frame waits, and the worker that reads it, as the daemon has them.
//!
//! They draw from a generator of their own, so that a life without them is what it was. What has to hold of frames is in
//! `frames` and `pictures`.

use std::time::Duration;

use edgetuned::engine::{
    EmbeddedImage, Event, FRAMES_IN_FLIGHT_MAX, FrameOutcome, FrameRead, PictureRead, SourceCounts, SourceNews,
    SourceSettings, TaskSettings, Ticket,
};
use edgetuned::words::{EmbeddingSpace, Keep, SampleId, SourceId, TaskId};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::World;
use super::disk::image_id;

/// The number of the first frame of the first source, above those of all images in files.
const FIRST: u32 = 10_000;
/// Frames that a source has at most.
const FRAMES_MAX: u32 = 1_000;
/// As many frames in a row show the same.
const SCENE: u32 = 3;
/// Frames of a scene are one burst for so long.
const BURST: Duration = Duration::from_mins(1);
/// Without a new frame for so long nothing is known of a source, where no task with a state looks at it.
const UNKNOWN_AFTER: Duration = Duration::from_mins(5);

/// The place of the source whose frame has this number; `None` of an image in a file.
pub fn source_of(number: u32) -> Option<usize> {
    number.checked_sub(FIRST).map(|number| (number / FRAMES_MAX) as usize).filter(|place| *place < 3)
}

/// All cameras, in the order of the settings.
#[derive(Debug)]
pub struct Cameras {
    pub rng: ChaCha8Rng,
    all: Vec<Camera>,
    /// Who waited for the answer to a frame that is gone.
    dropped: Vec<Ticket>,
    /// Frames with the worker.
    in_flight: usize,
    /// Whether they send nothing any more, whatever they did before.
    pub are_away: bool,
}

#[derive(Debug)]
struct Camera {
    mood: Mood,
    /// How many different frames it has sent.
    sent: u32,
    slot: Slot,
    /// The scene of the last frame that was kept, and the present burst, as the worker of this engine knows them.
    kept: Option<u32>,
    burst: Option<(u32, SampleId, Duration)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Mood {
    Well,
    Frozen,
    Fails,
    Away,
}

/// Where the newest frame waits.
#[derive(Debug, Default)]
struct Slot {
    frame: Option<Frame>,
    last: Option<Shown>,
    counts: SourceCounts,
    failure: Option<String>,
    is_news: bool,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    shows: Shown,
    stale: bool,
    waiter: Option<Ticket>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Shown {
    Picture(u32),
    /// Bytes that cannot be decoded; no two are the same.
    Half(u32),
}

impl Cameras {
    /// So many cameras of the life of this seed.
    pub fn new(seed: u64, count: usize) -> Self {
        let camera = |_| Camera { mood: Mood::Well, sent: 0, slot: Slot::default(), kept: None, burst: None };
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed ^ 0x0000_6361_6d65_7261),
            all: (0..count).map(camera).collect(),
            dropped: Vec::new(),
            in_flight: 0,
            are_away: false,
        }
    }

    /// Whether the life has any.
    pub fn are_there(&self) -> bool {
        !self.all.is_empty()
    }

    /// Whether there is anything to tell the engine.
    pub(super) fn have_news(&self) -> bool {
        !self.dropped.is_empty() || self.all.iter().any(|camera| camera.slot.is_news)
    }

    /// The process ends, and all that waits goes with it.
    pub(super) fn process_ends(&mut self) {
        self.dropped.clear();
        self.all.iter_mut().for_each(|camera| camera.slot = Slot::default());
    }

    /// A frame that came or is one of the next two; `None` where there are no cameras, and most of the time.
    pub fn frame_to_label(&mut self) -> Option<u32> {
        if self.all.is_empty() || !self.rng.random_bool(0.4) {
            return None;
        }
        let place = self.rng.random_range(0..self.all.len());
        let sent = self.all[place].sent;
        Some(number(place, self.rng.random_range(sent.saturating_sub(10)..sent + 3)))
    }
}

/// The number of a frame of the source at this place.
fn number(place: usize, n: u32) -> u32 {
    FIRST + place as u32 * FRAMES_MAX + n.min(FRAMES_MAX - 1)
}

/// How many bytes a frame has: some are too many for the small quota.
fn length(number: u32) -> usize {
    300 + (number as usize * 389) % 2_400
}

impl Slot {
    fn offer(&mut self, frame: Frame, dropped: &mut Vec<Ticket>) {
        (self.is_news, self.failure) = (true, None);
        if self.last == Some(frame.shows) {
            self.counts.frozen += 1;
            if frame.waiter.is_none() {
                return;
            }
        } else {
            self.counts.frames += 1;
        }
        self.last = Some(frame.shows);
        if let Some(former) = self.frame.replace(frame) {
            self.counts.skipped += 1;
            dropped.extend(former.waiter);
        }
    }

    fn fail(&mut self) {
        (self.is_news, self.failure) = (true, Some("nobody answers there".into()));
        self.counts.failed += 1;
    }
}

impl World {
    /// A tenth of a second passes for the cameras.
    pub(super) fn cameras_send(&mut self) {
        if self.cameras.are_away {
            return;
        }
        for place in 0..self.cameras.all.len() {
            let Cameras { rng, all, dropped, .. } = &mut self.cameras;
            let camera = &mut all[place];
            if rng.random_bool(0.015) {
                camera.mood = *[Mood::Well, Mood::Well, Mood::Frozen, Mood::Fails, Mood::Away]
                    .choose(rng)
                    .expect("there are moods");
            }
            if !rng.random_bool(0.15) {
                continue;
            }
            let last = number(place, camera.sent.saturating_sub(1));
            let posted = match camera.mood {
                Mood::Away => continue,
                Mood::Fails => {
                    camera.slot.fail();
                    continue;
                }
                Mood::Frozen => Frame { shows: Shown::Picture(last), stale: false, waiter: None },
                Mood::Well => {
                    let shows = match rng.random_range(0..10) {
                        0 if camera.sent > 0 => Shown::Picture(number(place, rng.random_range(0..camera.sent))),
                        1 => Shown::Half(camera.sent * 10 + rng.random_range(0..10)),
                        _ => {
                            camera.sent = (camera.sent + 1).min(FRAMES_MAX);
                            Shown::Picture(number(place, camera.sent - 1))
                        }
                    };
                    Frame { shows, stale: rng.random_bool(0.15), waiter: None }
                }
            };
            if !rng.random_bool(0.2) {
                camera.slot.offer(posted, dropped);
                continue;
            }
            // Somebody posts it and waits for the answer.
            self.tickets += 1;
            self.waiting.insert(self.tickets);
            let posted = Frame { stale: false, waiter: Some(self.tickets), ..posted };
            camera.slot.offer(posted, dropped);
        }
    }

    /// Each camera sends a picture that it never sent.
    pub fn cameras_return(&mut self) {
        for place in 0..self.cameras.all.len() {
            self.camera_sends(place);
        }
    }

    /// What came since the engine was told last.
    pub(super) fn news(&mut self) -> Event {
        let settings = &self.settings.sources;
        let told = |(camera, source): (&mut Camera, &SourceSettings)| {
            let slot = &mut camera.slot;
            std::mem::take(&mut slot.is_news).then(|| SourceNews {
                source: source.id.clone(),
                counts: std::mem::take(&mut slot.counts),
                waits: slot.frame.is_some(),
                failure: slot.failure.take(),
            })
        };
        let news = self.cameras.all.iter_mut().zip(settings).filter_map(told).collect();
        Event::Frames { news, dropped: std::mem::take(&mut self.cameras.dropped) }
    }

    /// The sources of an engine that begins: who looks at them, what waits, and what was kept last.
    pub(super) fn start_cameras(&mut self) {
        self.cameras.in_flight = 0;
        for place in 0..self.cameras.all.len() {
            let looking: Vec<TaskId> = self.tasks().into_iter().filter(|task| self.watches(task, place)).collect();
            let state = |task: &TaskSettings| Some(task.state.as_ref()?.unknown_after);
            let unknown_after = looking.iter().filter_map(|task| state(self.task(task))).min();
            let source = &mut self.settings.sources[place];
            source.unknown_after = unknown_after.unwrap_or(UNKNOWN_AFTER);
            source.tasks = looking.len() as u32;
            let last = self.model.pictures.iter().rev().find(|picture| picture.source == source.id);
            let kept = last.and_then(|picture| Self::number_of(&picture.id)).map(|number| number / SCENE);
            let camera = &mut self.cameras.all[place];
            (camera.kept, camera.burst) = (kept, None);
            camera.slot.is_news |= camera.slot.frame.is_some();
        }
    }

    /// An engine gives way to the next of its process: who waits for a frame that the worker has is told nothing.
    pub(super) fn lose_frames<'a>(&mut self, events: impl IntoIterator<Item = &'a Event>) {
        for event in events {
            if let Event::Frame(FrameRead { waiter: Some(ticket), .. }) = event {
                self.waiting.remove(ticket);
            }
        }
    }

    /// The camera of a source that a task looks at sends a picture that it never sent; its number.
    pub fn camera_shows(&mut self, task: &TaskId) -> u32 {
        let place = (0..self.cameras.all.len()).find(|place| self.watches(task, *place));
        self.camera_sends(place.expect("the task looks at sources alone"))
    }

    fn camera_sends(&mut self, place: usize) -> u32 {
        let Cameras { all, dropped, .. } = &mut self.cameras;
        let camera = &mut all[place];
        camera.sent = (camera.sent + 1).min(FRAMES_MAX);
        let number = number(place, camera.sent - 1);
        camera.slot.offer(Frame { shows: Shown::Picture(number), stale: false, waiter: None }, dropped);
        number
    }

    /// Whether an image is a frame of a source.
    pub fn is_frame(&self, id: &SampleId) -> bool {
        !self.settings.sources.is_empty() && Self::number_of(id).is_some_and(|number| source_of(number).is_some())
    }

    fn place_of(&self, source: &SourceId) -> usize {
        let place = self.settings.sources.iter().position(|other| other.id == *source);
        place.unwrap_or_else(|| panic!("the device has no source {source}"))
    }

    /// The worker takes the frame that waits at a source.
    pub(super) fn read_frame(&mut self, source: SourceId) {
        self.cameras.in_flight += 1;
        assert!(self.cameras.in_flight <= FRAMES_IN_FLIGHT_MAX, "the worker's queue of frames is bounded");
        let place = self.place_of(&source);
        let taken = self.cameras.all[place].slot.frame.take();
        let (stale, waiter) = taken.map_or((false, None), |frame| (frame.stale, frame.waiter));
        let outcome = match taken.map(|frame| frame.shows) {
            None => FrameOutcome::Gone,
            Some(Shown::Half(_)) => FrameOutcome::Bad { reason: "the picture is cut off".into() },
            Some(_) if self.cameras.rng.random_bool(0.02) => {
                FrameOutcome::Unreadable { reason: "the store could not be asked".into() }
            }
            Some(Shown::Picture(number)) => FrameOutcome::Image(Box::new(self.embed_frame(place, number))),
        };
        let at = self.now.mono + Duration::from_millis(self.cameras.rng.random_range(0..=1_000));
        self.push(at, Event::Frame(FrameRead { source, stale, waiter, outcome }));
    }

    /// The worker has finished with a frame.
    pub(super) fn frame_is_read(&mut self) {
        self.cameras.in_flight -= 1;
    }

    fn embed_frame(&mut self, place: usize, number: u32) -> EmbeddedImage {
        let mut image = self.seen_frame(place, number);
        let (scene, now) = (number / SCENE, self.now.mono);
        let keep = self.settings.sources[place].keep;
        let camera = &mut self.cameras.all[place];
        let burst = camera.burst.filter(|(of, _, since)| *of == scene && now.saturating_sub(*since) < BURST);
        image.group = burst.map_or(image.id, |(_, first, _)| first);
        if image.group == image.id {
            camera.burst = Some((scene, image.id, now));
        }
        let is_kept = match keep {
            Keep::None => false,
            Keep::Changed => camera.kept != Some(scene),
            Keep::Labelled | Keep::All => true,
        };
        if is_kept {
            camera.kept = Some(scene);
            image.picture = Some(vec![0; length(number)]);
        }
        image
    }

    /// A frame as the tasks see it that look at its source.
    fn seen_frame(&mut self, place: usize, number: u32) -> EmbeddedImage {
        let id = image_id(number);
        let views = self.views_of_frame(number, place);
        let mut spaces: Vec<EmbeddingSpace> = Vec::new();
        for view in &views {
            spaces.extend((!spaces.contains(&view.space)).then_some(view.space));
        }
        let is_made = spaces.iter().any(|space| !self.model.embeddings.contains(&(id, *space)));
        EmbeddedImage {
            id,
            bytes: length(number) as u64,
            views,
            embeddings: spaces.into_iter().map(|space| (space, vec![number as f32])).collect(),
            group: id,
            decode: Duration::from_millis(3),
            embed: if is_made { Duration::from_millis(10) } else { Duration::ZERO },
            thumbnail: None,
            picture: None,
        }
    }

    /// The worker reads the bytes that are kept of a frame.
    pub(super) fn read_picture(&mut self, id: SampleId) {
        let is_kept = self.model.pictures.iter().any(|picture| picture.id == id);
        let number = Self::number_of(&id).filter(|_| is_kept);
        let image = number.map(|number| {
            let place = source_of(number).expect("only frames are kept");
            let mut image = self.seen_frame(place, number);
            let made: Vec<EmbeddingSpace> = image.embeddings.iter().map(|(space, _)| *space).collect();
            let made = made.into_iter().filter(|space| !self.model.embeddings.contains(&(id, *space)));
            let made: Vec<EmbeddingSpace> = made.collect();
            image.views.retain(|view| view.is_new || made.contains(&view.space));
            Box::new(image)
        });
        self.counts.pictures_read += u64::from(image.is_some());
        let at = self.now.mono + Duration::from_millis(self.cameras.rng.random_range(0..=2_000));
        self.push(at, Event::Picture(PictureRead { id, image }));
    }
}
