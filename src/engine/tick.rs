//! What time brings: looks that are due, the schedule, housekeeping, reports.

use std::time::Duration;

use super::Engine;
use super::effect::Write;
use crate::words::Now;

/// How often what waits for thirty days or the spool's age is looked through.
const HOUSEKEEPING: Duration = Duration::from_mins(1);

impl Engine {
    pub(super) fn tick(&mut self, now: Now) {
        self.look_at_clock(now);
        let looks = self.settling.looks(now);
        self.effects.extend(looks);
        if !self.outage.lasts() {
            self.tick_of_what_is_stored(now);
        }
        self.complain_when_due(now);
        self.publish_health_when_due(now);
        self.tell_when_due(now);
    }

    /// What is due and would have to be durable.
    fn tick_of_what_is_stored(&mut self, now: Now) {
        if self.schedule_allows(now) && self.schedule.look(now) {
            self.write(Write::Training(self.schedule.memory().clone()));
        }
        self.begin_training(now);
        self.ask_when_due(now);
        self.updates_tick(now);
        if now.mono >= self.housekeeping_at {
            self.housekeeping_at = now.mono + HOUSEKEEPING;
            if self.clock_is_believed(now) {
                self.expire(now);
            }
            self.look_for_gone_files();
        }
        self.confirm_patch(now);
        self.confirm_backbone(now);
    }

    /// Forgets what has waited for too long.
    fn expire(&mut self, now: Now) {
        for prefix in self.catalogue.expire(now.wall) {
            self.write(Write::ForgetAwaited { prefix });
        }
        let expired = self.spool.expire(now.wall);
        self.drop_spooled(expired);
    }
}
