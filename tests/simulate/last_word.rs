//! Lives about labels: people move, copy, rename and delete files and whole class folders and label images between, while
//! notices are lost and the machine crashes. A model beside it says who has the last word; when everything has come to
//! rest, before the next thing is done to an image, the store has to say the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::life::settings;
use super::many;
use super::world::{Content, Faults, World, folder, image_id};

const IMAGES: u32 = 6;
const ROUNDS: usize = 8;
const PLACES: [&str; 4] = ["/in", "/in/bolt", "/in/nut", "/in/gear"];

/// What is known of one image.
#[derive(Debug, Clone, Default)]
struct Said {
    files: BTreeSet<PathBuf>,
    /// Whether it ever had one.
    is_known: bool,
    /// Its class by folder.
    class: Option<String>,
    label: Option<String>,
    by_person: bool,
    /// The label that waits for it.
    waits: Option<String>,
}

impl Said {
    fn person(&mut self, label: Option<&str>) {
        if self.is_known {
            (self.label, self.by_person) = (label.map(str::to_owned), true);
        } else {
            self.waits = label.map(str::to_owned);
        }
    }

    /// The files are where they are now.
    fn files_changed(&mut self) {
        self.is_known |= !self.files.is_empty();
        let classes: BTreeSet<Option<String>> = self.files.iter().map(|path| folder(path)).collect();
        let named: Vec<&String> = classes.iter().flatten().collect();
        match named[..] {
            _ if self.files.is_empty() => {}
            [] => {
                let was_in_a_class = self.class.take().is_some();
                if was_in_a_class && !self.by_person {
                    self.label = None;
                }
            }
            [class] if self.class.as_ref() != Some(class) => {
                (self.class, self.label, self.by_person) = (Some(class.clone()), Some(class.clone()), false);
            }
            _ => {}
        }
        if let Some(label) = self.waits.take_if(|_| !self.files.is_empty()) {
            (self.label, self.by_person) = (Some(label), true);
        }
    }
}

struct Life {
    world: World,
    said: BTreeMap<u32, Said>,
}

impl Life {
    fn new(seed: u64) -> Self {
        let faults = Faults { crash: 0.005, link: 0.02, lost_hint: 0.3 };
        Self { world: World::new(seed, settings(0), faults), said: BTreeMap::new() }
    }

    /// Something is done to each image, or a class folder is renamed.
    fn round(&mut self) {
        if self.world.rng.random_bool(0.2) {
            return self.rename_class();
        }
        for number in 0..IMAGES {
            match self.world.rng.random_range(0..10) {
                0..=3 => self.move_file(number),
                4 | 5 => self.copy_file(number),
                6 => self.delete_file(number),
                7 | 8 => self.label(number),
                _ => {}
            }
        }
    }

    fn somewhere(&mut self, number: u32) -> PathBuf {
        let place = PLACES.choose(&mut self.world.rng).expect("there are some");
        let name = self.world.rng.random_range(0..2);
        Path::new(place).join(format!("{number}-{name}.jpg"))
    }

    fn file_of(&mut self, number: u32) -> Option<PathBuf> {
        let files: Vec<PathBuf> = self.said.get(&number)?.files.iter().cloned().collect();
        files.choose(&mut self.world.rng).cloned()
    }

    fn move_file(&mut self, number: u32) {
        let to = self.somewhere(number);
        let Some(from) = self.file_of(number) else { return };
        if !self.world.disk.contains_key(&to) {
            self.world.moves(&from, Some(to.clone()));
            let said = self.said.entry(number).or_default();
            said.files.remove(&from);
            said.files.insert(to);
            said.files_changed();
        }
    }

    fn copy_file(&mut self, number: u32) {
        let to = self.somewhere(number);
        if !self.world.disk.contains_key(&to) {
            self.world.create(to.clone(), Content::Image(number), 1);
            let said = self.said.entry(number).or_default();
            said.files.insert(to);
            said.files_changed();
        }
    }

    fn delete_file(&mut self, number: u32) {
        let Some(gone) = self.file_of(number) else { return };
        self.world.moves(&gone, None);
        let said = self.said.entry(number).or_default();
        said.files.remove(&gone);
        said.files_changed();
    }

    fn label(&mut self, number: u32) {
        let label = [None, Some("bolt"), Some("nut"), Some("screw")];
        let label = *label.choose(&mut self.world.rng).expect("there are some");
        let item = format!(r#"{{"image": "{}", "label": {}}}"#, image_id(number), serde_json::json!(label));
        self.world.publish("label", item);
        self.said.entry(number).or_default().person(label);
    }

    fn rename_class(&mut self) {
        let (from, to) = (self.world.rng.random_range(1..PLACES.len()), self.world.rng.random_range(1..PLACES.len()));
        let inside = |path: &&PathBuf, place: &str| path.starts_with(place);
        if from == to || self.world.disk.keys().any(|path| inside(&path, PLACES[to])) {
            return;
        }
        let files: Vec<PathBuf> = self.world.disk.keys().filter(|path| inside(path, PLACES[from])).cloned().collect();
        for path in files {
            let new = Path::new(PLACES[to]).join(path.file_name().expect("a file"));
            self.world.moves(&path, Some(new.clone()));
            let said = self.said.values_mut().find(|said| said.files.contains(&path)).expect("a file of an image");
            said.files.remove(&path);
            said.files.insert(new);
        }
        self.said.values_mut().for_each(Said::files_changed);
    }

    /// Faults for half a minute, then long enough for a listing, and for a file whose close was not seen.
    fn rests(&mut self) {
        let faults = self.world.faults;
        for _ in 0..300 {
            self.world.advance();
        }
        self.world.faults = Faults { crash: 0.0, link: 0.0, lost_hint: 0.0 };
        for _ in 0..400 {
            self.world.advance_by(500);
        }
        self.world.faults = faults;
    }

    fn compare(&self, seed: u64, round: usize) {
        let context = format!("round {round} of SIMULATE_SEED={seed}");
        for (number, said) in &self.said {
            let Some(stored) = self.world.model.plain().samples.get(&image_id(*number)) else {
                assert!(said.files.is_empty() && said.label.is_none(), "image {number} is no sample; {context}");
                continue;
            };
            let label = stored.as_ref().map(|(label, _)| label.to_string());
            assert_eq!(label, said.label, "the label of image {number}, {said:?}; {context}");
        }
        assert!(
            self.world.model.files.keys().eq(self.world.disk.keys()),
            "recorded files are the living ones; {context}"
        );
        let in_doubt = self.world.model.plain().folders.values().filter(|(_, in_doubt)| *in_doubt).count();
        assert_eq!(in_doubt, 0, "nothing is in doubt; {context}");
    }
}

fn play(seed: u64) -> u64 {
    let mut life = Life::new(seed);
    for round in 0..ROUNDS {
        life.round();
        life.rests();
        life.compare(seed, round);
    }
    life.world.crashes
}

#[test]
fn the_last_act_has_the_last_word_whatever_is_lost_and_whenever_it_crashes() {
    if let Some(seed) = super::number_from_environment("SIMULATE_SEED") {
        play(seed);
        return;
    }
    let crashes = many::play(0..super::number_from_environment("SIMULATE_LIVES").unwrap_or(60), play);
    assert!(crashes.iter().sum::<u64>() > 60, "machines crash in these lives");
}
