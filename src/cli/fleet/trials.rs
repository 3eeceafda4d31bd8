//! The second round of a merge: devices measure heads that were made without them, and what follows.
//!
//! Which kind of head is taken, at which temperature, and which devices are left out because the others answer better without
//! them. Only numbers come back.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde::Serialize;

use super::asking;
use crate::cli::failure::{Failure, one_line};
use crate::cli::output::Output;
use crate::cli::{new_word, now};
use crate::fleet::{
    Aliases, Best, Candidate, CannotMerge, FleetHead, Merge, Merged, NoHead, Score, Statistics, Trial, candidates,
    choose, harm,
};
use crate::mqtt::Settings;
use crate::rounds::{Ending, Round, Scoring};
use crate::wire::DevicePattern;
use crate::wire::command::{self, Spec as _};
use crate::words::TaskId;

/// Devices that are tried without at a time, at most: those that see classes most differently.
const SUSPECTS_MAX: usize = 5;
/// In a fleet of so many devices every one is.
const FEW: usize = 10;

/// What devices said of the heads.
#[derive(Debug, Serialize)]
pub struct Measured {
    /// Devices that answered.
    devices: usize,
    kind: String,
    /// Share of right answers over all their images, each answered without the statistics of its own device.
    accuracy: f64,
    /// Mean log-loss in nats, likewise.
    log_loss: f64,
    /// Devices whose statistics are in no head, since the others answer better without.
    pub left_out: Vec<String>,
}

impl Measured {
    /// For people.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let accuracy = 100.0 * self.accuracy;
        writeln!(
            out,
            "on {} devices, each without its own statistics: {accuracy:.1} % right, log-loss {:.3}",
            self.devices, self.log_loss
        )?;
        for device in &self.left_out {
            writeln!(
                out,
                "left out: {}; the others answer better without it, so look at its labels",
                one_line(device)
            )?;
        }
        Ok(())
    }
}

/// A fleet whose devices can be asked.
pub struct Fleet<'a> {
    pub settings: &'a Settings,
    pub statistics: &'a BTreeMap<String, Statistics>,
    pub aliases: &'a Aliases,
    pub seed: u64,
    pub output: Output,
}

/// The devices that are believed, and their sums.
struct Believed<'a> {
    statistics: BTreeMap<&'a str, &'a Statistics>,
    merged: Merged,
}

/// What believed devices said of the kinds of head.
struct Answers {
    scores: BTreeMap<String, Vec<Score>>,
    kind: Candidate,
    best: Best,
}

impl Fleet<'_> {
    /// The head that devices answer best with, and what they said; `merged` are the statistics of all.
    ///
    /// While the others answer better without some device, the one that harms most is left out, and the rest is asked again.
    pub fn choose(&self, merged: &Merged) -> Result<(FleetHead, Measured), Failure> {
        let statistics = self.statistics.iter().map(|(device, statistics)| (device.as_str(), statistics)).collect();
        let mut believed = Believed { statistics, merged: merged.clone() };
        let mut left_out = Vec::new();
        let answers = loop {
            let answers = self.answers(&believed)?;
            // Of two halves that contradict each other nobody knows which is right.
            let is_enough = 2 * (left_out.len() + 1) >= self.statistics.len();
            let Some(device) = self.most_harmful(&believed, &answers)?.filter(|_| !is_enough) else { break answers };
            believed.leave_out(&device, self.aliases).map_err(Failure::failed)?;
            left_out.push(device);
        };
        let Answers { scores, kind, best } = answers;
        let mut head = kind.head(&believed.merged.statistics, self.seed).map_err(Failure::failed)?;
        head.dense.temperature *= best.factor as f32;
        let measured = Measured {
            devices: scores.len(),
            kind: kind.kind().to_owned(),
            accuracy: best.accuracy,
            log_loss: best.log_loss,
            left_out,
        };
        Ok((head, measured))
    }

    /// Has every device measure heads of each kind.
    fn answers(&self, believed: &Believed) -> Result<Answers, Failure> {
        let kinds = candidates();
        self.output.say("the devices measure heads that were made without them");
        let scores = self.ask(believed, |device| {
            let rest = believed.without(&[device], self.aliases);
            kinds.iter().map(|kind| rest.as_ref().map(|rest| kind.head(rest, self.seed))).collect()
        })?;
        let trials: Vec<Trial> = scores
            .iter()
            .flat_map(|(device, scores)| {
                let scores = scores.iter().enumerate();
                scores.map(|(candidate, score)| Trial { device: device.clone(), candidate, score: score.clone() })
            })
            .collect();
        let Some(best) = choose(&trials, kinds.len()) else {
            return Err(Failure::unavailable(
                "no device could measure a head: fleet.share has to be true there, and each class has to be on two devices at \
                 least; without --url the head is made unmeasured",
            ));
        };
        Ok(Answers { scores, kind: kinds[best.candidate], best })
    }

    /// The device without which the others answer better, by most.
    fn most_harmful(&self, believed: &Believed, answers: &Answers) -> Result<Option<String>, Failure> {
        let Answers { scores: scored, kind, best } = answers;
        let suspects = believed.suspects();
        if suspects.is_empty() || believed.statistics.len() < 3 {
            return Ok(None);
        }
        self.output.say("the devices measure heads without those that see classes differently");
        let others = |device: &str| suspects.iter().copied().filter(|suspect| *suspect != device).collect::<Vec<_>>();
        let without = self.ask(believed, |device| {
            let head = |suspect: &&str| {
                believed.without(&[device, suspect], self.aliases).map(|rest| kind.head(&rest, self.seed))
            };
            others(device).iter().map(head).collect()
        })?;
        let harm_of = |suspect: &str| {
            let pairs = without.iter().filter_map(|(device, scores)| {
                let place = others(device).iter().position(|other| *other == suspect)?;
                Some((scored.get(device)?.get(best.candidate)?.clone(), scores.get(place)?.clone()))
            });
            harm(&pairs.collect::<Vec<_>>(), best.factor)
        };
        let harms = suspects.iter().filter_map(|suspect| Some((harm_of(suspect)?, *suspect)));
        Ok(harms.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, device)| device.to_owned()))
    }

    /// What each device says of heads of its own; a device that does not answer, or for which some head cannot be made, is left away.
    fn ask(
        &self,
        believed: &Believed,
        heads: impl Fn(&str) -> Vec<Option<Result<FleetHead, NoHead>>>,
    ) -> Result<BTreeMap<String, Vec<Score>>, Failure> {
        let Some(source) = believed.statistics.values().next().map(|statistics| &statistics.source) else {
            return Ok(BTreeMap::new());
        };
        let bar = self.output.progress(believed.statistics.len() as u64, "heads");
        let mut made: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
        for device in believed.statistics.keys() {
            let files = heads(device)
                .into_iter()
                .map(|head| head.and_then(Result::ok).map(|head| head.into_record(source, now()).to_bytes()));
            if let Some(files) = files.collect::<Option<Vec<_>>>().filter(|files| !files.is_empty()) {
                made.insert((*device).to_owned(), files);
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        let task = Some(source.task.clone()).filter(|task| *task != TaskId::default());
        let talk = |device: &str| Scoring::new(task.clone(), made.get(device).map_or(&[], Vec::as_slice));
        let round = Round::with(&new_word("fleet"), made.keys().cloned(), talk);
        let everyone: DevicePattern = "*".parse().expect("it is a pattern");
        let mut scores = BTreeMap::new();
        asking::run(round, self.settings, &everyone, command::Score::NAME, self.output, |device, talk, ending| {
            match ending {
                Ending::Answered => {
                    scores.insert(device, talk.scores().to_vec());
                }
                Ending::Refused(reason) => tracing::warn!(device, reason, "it measures nothing"),
                Ending::Silent => tracing::warn!(device, "it does not answer"),
            }
            Ok(())
        })?;
        Ok(scores)
    }
}

impl Believed<'_> {
    /// The devices that are tried without.
    fn suspects(&self) -> Vec<&str> {
        if self.statistics.len() <= FEW {
            return self.statistics.keys().copied().collect();
        }
        let mut suspects: Vec<&str> = Vec::new();
        for one in &self.merged.disagreements {
            if !suspects.contains(&one.device.as_str()) {
                suspects.push(&one.device);
            }
        }
        suspects.truncate(SUSPECTS_MAX);
        suspects
    }

    /// Without this device from now on.
    fn leave_out(&mut self, device: &str, aliases: &Aliases) -> Result<(), CannotMerge> {
        self.statistics.remove(device);
        self.merged = self.merge(&[], aliases)?;
        Ok(())
    }

    /// All statistics but those of these devices.
    fn without(&self, devices: &[&str], aliases: &Aliases) -> Option<Statistics> {
        if let [one] = devices {
            return self.merged.without(self.statistics.get(*one)?, aliases);
        }
        self.merge(devices, aliases).ok().map(|merged| merged.statistics)
    }

    fn merge(&self, without: &[&str], aliases: &Aliases) -> Result<Merged, CannotMerge> {
        let mut rest = Merge::new(aliases.clone());
        for (device, statistics) in self.statistics.iter().filter(|(device, _)| !without.contains(device)) {
            rest.add(device, statistics)?;
        }
        rest.finish()
    }
}
