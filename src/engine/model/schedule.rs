//! When to train: by cron, by number of new labels, or on request.

use std::time::Duration;

use croner::Cron;
use jiff::tz::TimeZone;

use super::super::context::{Ages, Made};
use super::super::write::{Disbelieved, TrainingOrder, TrainingState};
use crate::words::{Now, Timestamp};

/// Settings of the schedule.
#[derive(Debug, Clone)]
pub struct ScheduleSettings {
    /// Train when this time comes and labels changed; `None` switches it off.
    pub cron: Option<Cron>,
    /// The zone in which `cron` is meant.
    pub zone: TimeZone,
    /// Train as soon as this many labels are new.
    pub min_new_labels: u64,
    /// Automatic trainings are at least this far apart.
    pub cooldown: Duration,
    /// Whether a training at the time of `cron` has a second phase.
    pub tunes: bool,
}

/// Orders and what is remembered for them.
#[derive(Debug)]
pub(super) struct Schedule {
    settings: ScheduleSettings,
    memory: TrainingState,
    /// Whether the running order was given to a worker of this process.
    begun: bool,
    /// The first occurrence of `cron` after the last look.
    next: Option<Timestamp>,
    looked_at: Option<Timestamp>,
    ended_mono: Option<Duration>,
}

impl Schedule {
    pub fn new(settings: ScheduleSettings, memory: TrainingState) -> Self {
        Self { settings, memory, begun: false, next: None, looked_at: None, ended_mono: None }
    }

    pub fn memory(&self) -> &TrainingState {
        &self.memory
    }

    /// A head was deleted: its version is not given again.
    pub fn head_deleted(&mut self, version: u64) {
        self.memory.deleted_version = self.memory.deleted_version.max(Some(version));
    }

    /// Labels that trainings leave out.
    pub fn disbelieved(&mut self) -> &mut Option<Disbelieved> {
        &mut self.memory.disbelieved
    }

    pub fn running(&self) -> Option<&TrainingOrder> {
        self.memory.running.as_ref()
    }

    /// Counts labels that were set, changed or removed.
    pub fn labels_changed(&mut self, count: u64) {
        self.memory.new_labels += count;
    }

    /// Counts labelled images that were excluded or taken back.
    pub fn exclusions_changed(&mut self, count: u64) {
        self.memory.exclusions += count;
    }

    /// Orders a training on request; an order that has not begun yet is the same one.
    pub fn request(&mut self, reason: &str) -> TrainingOrder {
        match self.memory.due.clone() {
            Some(order) => order,
            None => self.order(reason.to_owned(), false),
        }
    }

    /// Orders a training with a second phase on request; an order that has not begun yet gets one.
    pub fn request_tuning(&mut self, reason: &str) -> TrainingOrder {
        match &mut self.memory.due {
            Some(order) => {
                order.tune = true;
                order.clone()
            }
            None => self.order(reason.to_owned(), true),
        }
    }

    /// Orders what another order was for, with a second phase where that had one.
    pub fn request_again(&mut self, reason: &str, order: &TrainingOrder) -> TrainingOrder {
        if order.tune { self.request_tuning(reason) } else { self.request(reason) }
    }

    /// Orders a training when the schedule says so; whether it did.
    pub fn look(&mut self, now: Now, ages: &Ages) -> bool {
        let came = self.cron_came(now.wall);
        if self.memory.running.is_some()
            || self.memory.due.is_some()
            || (self.memory.new_labels == 0 && self.memory.exclusions == 0)
            || self.cooling(now, ages)
        {
            return false;
        }
        if self.memory.new_labels >= self.settings.min_new_labels {
            self.order(format!("{} new labels", self.memory.new_labels), false);
        } else if came {
            self.order("schedule".to_owned(), self.settings.tunes);
        } else {
            return false;
        }
        true
    }

    /// Whether the running order was given to a worker of this process.
    pub fn is_begun(&self) -> bool {
        self.begun
    }

    /// Whether there is an order to begin.
    pub fn waits(&self) -> bool {
        !self.begun && (self.memory.running.is_some() || self.memory.due.is_some())
    }

    /// The order to begin now: the one that a crash interrupted, or the one that is due, unless one is under way. It
    /// sees every label with an earlier stamp.
    pub fn begin(&mut self, stamp: Timestamp) -> Option<TrainingOrder> {
        if self.begun {
            return None;
        }
        if self.memory.running.is_none() {
            self.memory.running = Some(self.memory.due.take()?);
            (self.memory.new_labels, self.memory.exclusions) = (0, 0);
        }
        self.begun = true;
        self.memory.began = Some(stamp);
        self.memory.running.clone()
    }

    /// The running training has its verdict: returns up to when it saw labels.
    pub fn fold_in(&mut self) -> Option<Timestamp> {
        self.memory.settled = self.memory.began.take().or(self.memory.settled);
        self.memory.settled
    }

    /// The running training came to nothing, as by a crash: its order begins again.
    pub fn interrupted(&mut self) {
        self.begun = false;
        (self.memory.new_labels, self.memory.exclusions) = (0, 0);
    }

    /// The running training ended, one way or the other.
    pub fn ended(&mut self, now: Now) {
        self.begun = false;
        self.memory.running = None;
        self.memory.last = Some(now.wall);
        self.ended_mono = Some(now.mono);
    }

    fn order(&mut self, reason: String, tune: bool) -> TrainingOrder {
        self.memory.next_id += 1;
        let order = TrainingOrder { id: self.memory.next_id, reason, tune };
        self.memory.due = Some(order.clone());
        order
    }

    /// Within this run of the process the monotonic clock counts. Over a restart only the wall clock knows; where it
    /// does not, the run's beginning counts.
    fn cooling(&self, now: Now, ages: &Ages) -> bool {
        let made = match (self.ended_mono, self.memory.last) {
            (Some(ended), _) => Made::InThisRun(ended),
            (None, Some(last)) if last <= now.wall => Made::Before(last),
            (None, _) => return false,
        };
        ages.of(made).unwrap_or(now.mono) < self.settings.cooldown
    }

    /// Whether an occurrence lies between the last look and now. A jump forward over several counts once; after a
    /// jump back the next occurrence is computed again.
    fn cron_came(&mut self, wall: Timestamp) -> bool {
        let Some(cron) = &self.settings.cron else { return false };
        let came = self.next.is_some_and(|next| next <= wall);
        let set_back = self.looked_at.is_some_and(|looked_at| wall < looked_at);
        if came || set_back || self.looked_at.is_none() {
            let local = jiff::Zoned::new(wall.to_jiff(), self.settings.zone.clone());
            self.next =
                cron.find_next_occurrence(&local, false).ok().map(|time| Timestamp(time.timestamp().as_millisecond()));
        }
        self.looked_at = Some(wall);
        came && !set_back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;
    /// 2026-03-01T00:00:00Z.
    const START_MS: i64 = 1_772_323_200_000;

    fn at(minutes: i64) -> Now {
        Now {
            wall: Timestamp(START_MS + minutes * MINUTE_MS),
            mono: Duration::from_secs(3600 + 60 * minutes.unsigned_abs()),
        }
    }

    fn look(schedule: &mut Schedule, now: Now) -> bool {
        schedule.look(now, &Ages::believing(now))
    }

    fn schedule(cron: Option<&str>) -> Schedule {
        let settings = ScheduleSettings {
            cron: cron.map(|text| text.parse().unwrap()),
            zone: TimeZone::UTC,
            min_new_labels: 10,
            cooldown: Duration::from_mins(10),
            tunes: false,
        };
        Schedule::new(settings, TrainingState::default())
    }

    #[test]
    fn the_cron_time_trains_only_when_labels_changed() {
        let mut schedule = schedule(Some("0 3 * * *"));
        assert!(!look(&mut schedule, at(0)));
        assert!(!look(&mut schedule, at(181)), "nothing changed");
        schedule.labels_changed(1);
        assert!(!look(&mut schedule, at(182)), "the time has passed");
        assert!(look(&mut schedule, at(181 + 24 * 60)));
        assert_eq!(schedule.begin(at(0).wall).map(|order| order.reason), Some("schedule".into()));
    }

    #[test]
    fn exclusions_are_no_new_labels_and_the_cron_time_trains_without_them() {
        let mut schedule = schedule(Some("0 3 * * *"));
        schedule.exclusions_changed(10);
        assert!(!look(&mut schedule, at(0)), "they are no labels");
        assert!(look(&mut schedule, at(181)));
        assert!(schedule.begin(at(181).wall).is_some());
        schedule.ended(at(182));
        assert!(!look(&mut schedule, at(181 + 24 * 60)), "nothing changed since");
    }

    #[test]
    fn enough_new_labels_train_at_once_but_not_within_the_cooldown() {
        let mut schedule = schedule(None);
        schedule.labels_changed(9);
        assert!(!look(&mut schedule, at(0)));
        schedule.labels_changed(1);
        assert!(look(&mut schedule, at(0)));
        assert!(schedule.begin(at(0).wall).is_some());
        schedule.labels_changed(10);
        assert!(!look(&mut schedule, at(1)), "one runs");
        schedule.ended(at(2));
        assert!(!look(&mut schedule, at(11)));
        assert!(look(&mut schedule, at(12)));
    }

    #[test]
    fn a_request_ignores_the_cooldown_and_joins_an_order_that_has_not_begun() {
        let mut schedule = schedule(None);
        let first = schedule.request("request");
        assert_eq!(schedule.request("request"), first);
        assert_eq!(schedule.begin(at(0).wall), Some(first.clone()));
        let second = schedule.request("request");
        assert_ne!(second.id, first.id, "what runs cannot know the labels of now");
        schedule.ended(at(1));
        assert_eq!(schedule.begin(at(0).wall), Some(second));
    }

    #[test]
    fn a_second_phase_is_for_the_cron_time_and_for_who_asks() {
        let mut schedule = schedule(Some("0 3 * * *"));
        schedule.settings.tunes = true;
        look(&mut schedule, at(0));
        schedule.labels_changed(10);
        assert!(look(&mut schedule, at(1)));
        assert_eq!(schedule.begin(at(1).wall).map(|order| order.tune), Some(false), "by the number of labels");
        schedule.ended(at(2));
        schedule.labels_changed(1);
        assert!(look(&mut schedule, at(181)));
        assert_eq!(schedule.begin(at(181).wall).map(|order| order.tune), Some(true));
        schedule.ended(at(182));
        let plain = schedule.request("request");
        let tuned = schedule.request_tuning("request");
        assert_eq!((plain.tune, tuned.tune, tuned.id), (false, true, plain.id), "an order that waits gets one");
        assert_eq!(schedule.request("request"), tuned, "and keeps it");
    }

    #[test]
    fn a_clock_that_jumps_forward_over_a_week_trains_once_and_one_set_back_not_at_all() {
        let mut schedule = schedule(Some("0 3 * * *"));
        look(&mut schedule, at(0));
        schedule.labels_changed(1);
        assert!(!look(&mut schedule, at(-10 * 365 * 24 * 60)));
        assert!(look(&mut schedule, at(7 * 24 * 60)));
        schedule.begin(at(0).wall);
        schedule.ended(at(7 * 24 * 60));
        schedule.labels_changed(1);
        assert!(!look(&mut schedule, at(7 * 24 * 60 + 20)));
    }

    #[test]
    fn an_order_survives_a_restart_and_so_does_the_cooldown() {
        let mut schedule = schedule(None);
        let order = schedule.request("request");
        let mut restarted = Schedule::new(schedule.settings.clone(), schedule.memory.clone());
        assert_eq!(restarted.begin(at(0).wall), Some(order));
        restarted.ended(at(0));
        let mut again = Schedule::new(schedule.settings.clone(), restarted.memory.clone());
        again.labels_changed(10);
        assert!(!look(&mut again, at(9)));
        assert!(look(&mut again, at(10)));
    }

    #[test]
    fn a_training_that_ended_while_the_clock_was_wrong_cools_down_from_the_start_of_the_run() {
        let memory = TrainingState { last: Some(Timestamp(5)), new_labels: 10, ..TrainingState::default() };
        let mut schedule = Schedule::new(schedule(None).settings, memory);
        let after = |minutes| Now { mono: Duration::from_mins(minutes), ..at(0) };
        assert!(!look(&mut schedule, after(9)), "it may have ended just now");
        assert!(look(&mut schedule, after(10)));
    }

    #[test]
    fn a_time_that_daylight_saving_leaves_out_or_repeats_trains_once_that_day() {
        let zone = TimeZone::get("Europe/Berlin").expect("the time zones of jiff or the system");
        let local = |text: &str| {
            let zoned = text.parse::<jiff::civil::DateTime>().unwrap().to_zoned(zone.clone()).unwrap();
            zoned.timestamp().as_millisecond()
        };
        for (from, to, days) in
            [("2026-03-28T12:00", "2026-03-31T12:00", 3), ("2026-10-24T12:00", "2026-10-27T12:00", 3)]
        {
            let mut schedule = schedule(Some("30 2 * * *"));
            schedule.settings.zone = zone.clone();
            let (mut wall, end, mut trained) = (local(from), local(to), 0);
            let begun = wall;
            while wall < end {
                let mono = Duration::from_millis(3_600_000 + (wall - begun).unsigned_abs());
                let now = Now { wall: Timestamp(wall), mono };
                schedule.labels_changed(1);
                schedule.memory.new_labels = 1;
                if look(&mut schedule, now) {
                    trained += 1;
                    schedule.begin(now.wall);
                    schedule.ended(now);
                }
                wall += MINUTE_MS;
            }
            assert_eq!(trained, days, "{from}");
        }
    }

    #[test]
    fn another_time_zone_moves_the_next_training_and_loses_none() {
        let mut schedule = schedule(Some("0 3 * * *"));
        look(&mut schedule, at(0));
        schedule.labels_changed(1);
        let mut moved = Schedule::new(
            ScheduleSettings { zone: TimeZone::fixed(jiff::tz::offset(-5)), ..schedule.settings.clone() },
            schedule.memory.clone(),
        );
        assert!(!look(&mut moved, at(1)) && !look(&mut moved, at(3 * 60 + 1)), "it is three in another place");
        assert!(look(&mut moved, at(8 * 60 + 1)));
    }
}
