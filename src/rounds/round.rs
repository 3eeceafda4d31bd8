//! Who is asked, and what became of each.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::wire::{Answer, ErrorCode};

/// How long no further device has been found when the search is over.
pub const QUIET: Duration = Duration::from_secs(2);
/// The longest search, however many devices there are.
pub const SEARCH_MAX: Duration = Duration::from_secs(30);
/// A request without an answer is made again after so long.
pub const AGAIN: Duration = Duration::from_secs(15);
/// Requests in a row without an answer, after which a device is silent.
pub const TRIES: u32 = 4;
/// Devices that are asked at the same time.
pub const UNDER_WAY: usize = 16;

/// What is asked of one device, request by request.
pub trait Talk {
    /// The next request and its arguments.
    fn request(&self) -> (&'static str, Map<String, Value>);

    /// Takes the data of its answer; true when nothing more is to be asked.
    ///
    /// # Errors
    /// A reason why the answer is of no use.
    fn take(&mut self, data: Value) -> Result<bool, String>;

    /// Whether it goes on after this refusal, with another request.
    fn goes_on(&mut self, code: ErrorCode) -> bool;
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    /// The connection is established, for the first time or again.
    Connected,
    /// A device that is meant is there.
    Device(String),
    /// A device's answer to the request with this transaction.
    Answer {
        /// Its id.
        device: String,
        /// Of the request.
        transaction: String,
        /// What it says.
        answer: Answer,
    },
    /// Time passed.
    Tick,
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Act<T> {
    /// Send a request to a device.
    Ask {
        /// Its id.
        device: String,
        /// The request's name.
        request: &'static str,
        /// Its arguments, the transaction among them.
        arguments: Map<String, Value>,
    },
    /// A device has ended: what was talked with it, which may be large, is handed over.
    Ended {
        /// Its id.
        device: String,
        /// What was asked of it.
        talk: T,
        /// How it ended.
        ending: Ending,
    },
}

/// How a device ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// Everything was answered.
    Answered,
    /// It refused, or its answer is of no use, for this reason.
    Refused(String),
    /// It did not answer.
    Silent,
}

#[derive(Debug, Clone)]
enum State {
    Waiting,
    Asked { transaction: String, at: Duration, tries: u32 },
}

#[derive(Debug, Clone)]
struct Device<T> {
    talk: T,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Search {
    /// There was no connection yet.
    Offline,
    /// Since when, and since when nothing new came.
    Since { begun: Duration, quiet: Duration },
    /// Every device is known.
    Over,
}

/// A round on its way.
#[derive(Debug)]
pub struct Round<T, M> {
    /// Makes the talk with a device.
    talk: M,
    /// Begins each transaction, so that no other round has the same.
    word: String,
    count: u64,
    search: Search,
    is_connected: bool,
    /// Those that have ended are `None`.
    devices: BTreeMap<String, Option<Device<T>>>,
    /// Whose turn comes, the next one first: what is done for an event does not grow with the fleet.
    waiting: VecDeque<String>,
    /// Those that are asked, by the time of their request.
    asked: BTreeSet<(Duration, String)>,
    /// How many have ended.
    ended: usize,
    acts: VecDeque<Act<T>>,
}

impl<T: Talk, M: Fn(&str) -> T> Round<T, M> {
    /// One that looks for devices; `word` is new for each round, `talk` makes what is asked of a device.
    #[must_use]
    pub fn searching(word: &str, talk: M) -> Self {
        Self {
            talk,
            word: word.to_owned(),
            count: 0,
            search: Search::Offline,
            is_connected: false,
            devices: BTreeMap::new(),
            waiting: VecDeque::new(),
            asked: BTreeSet::new(),
            ended: 0,
            acts: VecDeque::new(),
        }
    }

    /// One with these devices alone.
    #[must_use]
    pub fn with(word: &str, devices: impl IntoIterator<Item = String>, talk: M) -> Self {
        let known = devices.into_iter().map(|id| {
            let device = Device { talk: talk(&id), state: State::Waiting };
            (id, Some(device))
        });
        let devices: BTreeMap<String, Option<Device<T>>> = known.collect();
        let waiting = devices.keys().cloned().collect();
        Self { devices, waiting, search: Search::Over, ..Self::searching(word, talk) }
    }

    /// Takes in what happened at `now`, on a clock that never goes back.
    pub fn hear(&mut self, now: Duration, heard: Heard) {
        match heard {
            Heard::Connected => self.connected(now),
            Heard::Device(id) => {
                if let Search::Since { quiet, .. } = &mut self.search
                    && !self.devices.contains_key(&id)
                {
                    *quiet = now;
                    let device = Device { talk: (self.talk)(&id), state: State::Waiting };
                    self.waiting.push_back(id.clone());
                    self.devices.insert(id, Some(device));
                }
            }
            Heard::Answer { device, transaction, answer } => self.answered(&device, &transaction, answer),
            Heard::Tick => {}
        }
        self.proceed(now);
    }

    /// The next thing to do.
    pub fn next_act(&mut self) -> Option<Act<T>> {
        self.acts.pop_front()
    }

    /// When it has to hear a [`Heard::Tick`], if nothing else happens before; `None` when nothing is due.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        let search = match self.search {
            Search::Since { begun, quiet } => Some((quiet + QUIET).min(begun + SEARCH_MAX)),
            _ => None,
        };
        let asked = self.asked.first().map(|(at, _)| *at + AGAIN);
        asked.into_iter().chain(search).min()
    }

    /// Whether every device has ended.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.search == Search::Over && self.ended == self.devices.len()
    }

    /// Whether the broker has ever answered.
    #[must_use]
    pub fn has_connected(&self) -> bool {
        self.is_connected
    }

    /// Devices that were found, and those that have ended.
    #[must_use]
    pub fn progress(&self) -> (usize, usize) {
        (self.devices.len(), self.ended)
    }

    /// What was on its way may be lost: it is asked again, and that is no fault of the devices.
    fn connected(&mut self, now: Duration) {
        if self.search == Search::Offline {
            self.search = Search::Since { begun: now, quiet: now };
        }
        self.is_connected = true;
        self.acts.retain(|act| matches!(act, Act::Ended { .. }));
        for (_, id) in std::mem::take(&mut self.asked) {
            self.wait(id);
        }
    }

    fn answered(&mut self, id: &str, transaction: &str, answer: Answer) {
        let Some(Some(device)) = self.devices.get_mut(id) else { return };
        let State::Asked { transaction: asked, at, .. } = &device.state else { return };
        if asked != transaction {
            return;
        }
        self.asked.remove(&(*at, id.to_owned()));
        let ending = match answer {
            Answer::Ok { data } => match device.talk.take(data) {
                Ok(true) => Some(Ending::Answered),
                Ok(false) => None,
                Err(reason) => Some(Ending::Refused(reason)),
            },
            Answer::Error { error } if device.talk.goes_on(error.code) => None,
            Answer::Error { error } => Some(Ending::Refused(error.message)),
        };
        match ending {
            Some(ending) => self.end(id, ending),
            None => self.wait(id.to_owned()),
        }
    }

    /// It goes on before others begin, so that files are whole soon.
    fn wait(&mut self, id: String) {
        if let Some(Some(device)) = self.devices.get_mut(&id) {
            device.state = State::Waiting;
            self.waiting.push_front(id);
        }
    }

    fn end(&mut self, id: &str, ending: Ending) {
        if let Some(Device { talk, .. }) = self.devices.get_mut(id).and_then(Option::take) {
            self.ended += 1;
            self.acts.push_back(Act::Ended { device: id.to_owned(), talk, ending });
        }
    }

    /// Ends the search, asks who has not answered again, and whose turn it is.
    fn proceed(&mut self, now: Duration) {
        if !self.is_connected {
            return;
        }
        if let Search::Since { begun, quiet } = self.search
            && (now >= quiet + QUIET || now >= begun + SEARCH_MAX)
        {
            self.search = Search::Over;
        }
        while let Some((at, id)) = self.asked.first().cloned()
            && now >= at + AGAIN
        {
            self.asked.remove(&(at, id.clone()));
            match self.devices.get(&id).and_then(Option::as_ref).map(|device| &device.state) {
                Some(State::Asked { tries, .. }) if *tries < TRIES => {
                    let tries = tries + 1;
                    self.ask(&id, now, tries);
                }
                _ => self.end(&id, Ending::Silent),
            }
        }
        while self.asked.len() < UNDER_WAY
            && let Some(id) = self.waiting.pop_front()
        {
            self.ask(&id, now, 1);
        }
    }

    fn ask(&mut self, id: &str, now: Duration, tries: u32) {
        self.count += 1;
        let transaction = format!("{}-{}", self.word, self.count);
        let Some(Some(device)) = self.devices.get_mut(id) else { return };
        let (request, mut arguments) = device.talk.request();
        arguments.insert("transaction".to_owned(), json!(transaction));
        device.state = State::Asked { transaction, at: now, tries };
        self.asked.insert((now, id.to_owned()));
        self.acts.push_back(Act::Ask { device: id.to_owned(), request, arguments });
    }
}
