//! Where the pictures come from, and which part each plays: drawn by the camera, or a folder of photographs.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use edgetuned_learn::words::SampleId;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::Outcome;
use crate::camera::{Camera, Light, Part};
use crate::lamp::{self, Lamp};

/// Most classes that are used of a folder of photographs, so that the demo stays short.
const CLASSES_MAX: usize = 8;

/// One picture, not read or drawn yet.
#[derive(Debug, Clone)]
pub enum Picture {
    /// From the synthetic camera, with the machine's lamp on or off.
    Drawn(Camera, Part, u64, Lamp),
    /// A file.
    Photo(PathBuf),
}

impl Picture {
    /// Its bytes as a file.
    pub fn bytes(&self) -> Outcome<Vec<u8>> {
        match self {
            Self::Drawn(camera, part, index, lamp) => lamp::beside(&camera.shot(*part, *index, &Light::DAY), *lamp),
            Self::Photo(path) => fs::read(path).map_err(|error| {
                format!("cannot read {}: {error}; check its path, its owner and its mode", path.display()).into()
            }),
        }
    }

    /// What a person sees of the lamp; a photograph has none.
    pub fn is_lamp_on(&self) -> Option<bool> {
        if let Self::Drawn(.., lamp) = self { Some(lamp.is_on) } else { None }
    }

    /// The ending of its file's name.
    pub fn extension(&self) -> String {
        match self {
            Self::Drawn(..) => "jpg".into(),
            Self::Photo(path) => path.extension().unwrap_or_default().to_string_lossy().to_lowercase(),
        }
    }
}

/// A class and its pictures, in the order in which they are used.
#[derive(Debug, Clone)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// As many as the plan needs, no two alike.
    pub pictures: Vec<Picture>,
}

/// How many pictures of each known class, and of the newcomer, each chapter uses.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Known classes.
    pub known: usize,
    /// Of each known class: unlabelled at first, then labelled over MQTT.
    pub first_seen: usize,
    /// Of each known class: labelled by folder.
    pub filed: usize,
    /// Of each known class: predicted live, later labelled over MQTT.
    pub live: usize,
    /// Of the newcomer: seen before anyone labels it.
    pub newcomer_seen: usize,
    /// Of the newcomer: labelled by folder.
    pub newcomer_filed: usize,
    /// Of each class: never shown before, never labelled, for the last figures.
    pub unseen: usize,
}

impl Plan {
    /// A plan for this many known classes with `pictures` of each class at hand: 48 are enough, half of that the least.
    fn new(known: usize, pictures: usize) -> Self {
        let part = |of_48: usize| of_48 * pictures.min(48) / 48;
        Self {
            known,
            first_seen: part(4),
            filed: part(16),
            live: part(8),
            newcomer_seen: part(10),
            newcomer_filed: part(30),
            unseen: part(8),
        }
    }

    /// Labels given in the first round; so many make the daemon train.
    pub fn first_labels(&self) -> usize {
        self.known * (self.first_seen + self.filed)
    }

    /// Further pictures of each known class that the second round needs for as many labels as the first.
    pub fn topped_up(&self) -> usize {
        let given = self.newcomer_seen + self.newcomer_filed + self.known * self.live;
        self.first_labels().saturating_sub(given).div_ceil(self.known)
    }
}

/// All pictures of a run.
pub struct Deck {
    /// Classes that are there from the beginning.
    pub known: Vec<Class>,
    /// The class that appears later.
    pub newcomer: Class,
    /// How many pictures each part of the demo shows.
    pub plan: Plan,
    /// For the second question, in the order in which they are taken; none of photographs.
    pub lamp: Vec<Picture>,
}

/// Whether the lamp is on in the pictures of the second question: it goes on, is off in one picture, goes off, and on.
const LAMP: [bool; 11] = [true, true, true, false, true, true, false, false, false, true, true];

impl Deck {
    /// Five parts from the beginning; the gear comes later.
    pub fn of_camera(seed: u64) -> Self {
        let camera = Camera::new(seed);
        let drawn = |part: Part, index: u64, is_on: bool| {
            let seed = (seed << 32) ^ (index << 8) ^ part as u64;
            Picture::Drawn(camera, part, index, Lamp { is_on, seed })
        };
        let class = |part: Part| Class {
            name: part.name().into(),
            pictures: (0..60).map(|index| drawn(part, index, index % 2 == 0)).collect(),
        };
        let known = [Part::Nut, Part::Bolt, Part::Washer, Part::Screw, Part::Spring].map(class).to_vec();
        let parts = [Part::Nut, Part::Spring, Part::Gear].into_iter().cycle();
        let lamp = (60..).zip(LAMP).zip(parts).map(|((index, is_on), part)| drawn(part, index, is_on));
        Self { plan: Plan::new(known.len(), 60), known, newcomer: class(Part::Gear), lamp: lamp.collect() }
    }

    /// Your photographs, shuffled within each class; the last class comes later.
    ///
    /// # Errors
    /// When there are fewer than three classes with 24 different photographs each.
    pub fn of_photos(folder: &Path, seed: u64) -> Outcome<Self> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut classes = Vec::new();
        for path in listed(folder)?.into_iter().filter(|path| path.is_dir()) {
            let mut photos: Vec<_> = listed(&path)?.into_iter().filter(|path| is_image(path)).collect();
            photos.shuffle(&mut rng);
            let photos = without_copies(photos)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if photos.len() < 24 {
                println!("  {name} is left out: {} different photographs, 24 are needed", photos.len());
            } else if classes.len() < CLASSES_MAX {
                classes.push(Class { name, pictures: photos.into_iter().map(Picture::Photo).collect() });
            } else {
                println!("  {name} is left out: {CLASSES_MAX} classes are enough for a demo");
            }
        }
        let fewest = classes.iter().map(|class| class.pictures.len()).min().unwrap_or(0);
        match classes.pop() {
            Some(newcomer) if classes.len() >= 2 => {
                Ok(Self { plan: Plan::new(classes.len(), fewest), known: classes, newcomer, lamp: Vec::new() })
            }
            _ => Err(format!(
                "{} needs three folders or more, each named after a class, with 24 or more .jpg, .png, .webp or .bmp \
                 files",
                folder.display()
            )
            .into()),
        }
    }
}

/// The files of a folder, by name.
fn listed(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let found = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>());
    let mut paths = found.map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    paths.sort();
    Ok(paths)
}

fn is_image(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    path.is_file() && ["jpg", "jpeg", "png", "webp", "bmp"].contains(&extension.as_str())
}

/// The first 60 that differ: the same bytes under two names are one sample to the daemon, and one label.
fn without_copies(photos: Vec<PathBuf>) -> Outcome<Vec<PathBuf>> {
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for path in photos {
        if kept.len() < 60 && seen.insert(SampleId::of(&Picture::Photo(path.clone()).bytes()?)) {
            kept.push(path);
        }
    }
    Ok(kept)
}
