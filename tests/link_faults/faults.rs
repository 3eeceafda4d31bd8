//! What goes wrong, and how.

use std::time::{Duration, Instant};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::daemon::{Listener, PATIENCE};
use crate::mosquitto::Mosquitto;
use crate::proxy::{Proxy, Way};

/// One fault of the script.
#[derive(Debug, Clone, Copy)]
pub enum Fault {
    /// So many connections are closed as they come.
    Refuse(u64),
    /// The link is reset in the middle of a packet.
    Tear(Way),
    /// Nothing goes through for a while.
    Stall(Duration),
    /// Nothing goes through for a while, and then the link is reset.
    StallAndCut(Duration),
    /// The broker forgets the device's session.
    Forget,
    /// So many acknowledgements never arrive.
    LoseAcknowledgements(u32),
    /// So many messages of the broker arrive twice.
    Repeat(u32),
    /// The broker ends and comes back with what it wrote down.
    Restart,
    /// The broker is killed and comes back with what it had written down before.
    Kill,
}

impl Fault {
    /// One of them, the cheap ones more often.
    pub fn draw(rng: &mut ChaCha8Rng) -> Self {
        let while_ = Duration::from_millis(rng.random_range(20..250));
        match rng.random_range(0..100) {
            0..15 => Self::Refuse(rng.random_range(1..4)),
            15..27 => Self::Tear(Way::ToBroker),
            27..39 => Self::Tear(Way::ToDevice),
            39..49 => Self::Stall(while_),
            49..59 => Self::StallAndCut(while_),
            59..69 => Self::Forget,
            69..81 => Self::LoseAcknowledgements(rng.random_range(1..20)),
            81..90 => Self::Repeat(rng.random_range(1..6)),
            90..95 => Self::Restart,
            _ => Self::Kill,
        }
    }

    /// For the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refuse(_) => "refused",
            Self::Tear(Way::ToBroker) => "torn to the broker",
            Self::Tear(Way::ToDevice) => "torn to the device",
            Self::Stall(_) => "stalled",
            Self::StallAndCut(_) => "stalled and cut",
            Self::Forget => "session forgotten",
            Self::LoseAcknowledgements(_) => "acknowledgements lost",
            Self::Repeat(_) => "delivered twice",
            Self::Restart => "broker restarted",
            Self::Kill => "broker killed",
        }
    }

    /// Whether the link breaks for sure, whatever goes over it.
    pub fn cuts(self) -> bool {
        matches!(self, Self::Refuse(_) | Self::StallAndCut(_) | Self::Forget | Self::Restart | Self::Kill)
    }
}

/// What the faults happen to, and who listens.
pub struct Stage {
    pub broker: Mosquitto,
    pub proxy: Proxy,
    pub ears: Listener,
    /// When the broker was killed.
    pub deaths: Vec<Instant>,
}

impl Stage {
    pub fn strike(&mut self, fault: Fault) {
        let Self { broker, proxy, ears, deaths } = self;
        match fault {
            Fault::Refuse(connections) => proxy.refuse(connections),
            Fault::Tear(way) => proxy.tear(way),
            Fault::Stall(time) => proxy.stall(time),
            Fault::StallAndCut(time) => {
                proxy.stall(time);
                ears.listen(Instant::now() + time / 2);
                proxy.cut();
            }
            Fault::Forget => proxy.forget_session(),
            Fault::LoseAcknowledgements(count) => proxy.lose_acknowledgements(count),
            Fault::Repeat(count) => proxy.repeat(count),
            // Until the listener is back the device is kept away: a broker drops what nobody has subscribed to.
            Fault::Restart => {
                broker.stop();
                proxy.close();
                ears.over(|| broker.restart());
                proxy.open();
            }
            Fault::Kill => {
                broker.kill();
                deaths.push(Instant::now());
                proxy.close();
                ears.over(|| broker.restart());
                proxy.open();
            }
        }
    }

    /// Waits until the daemon has seen every image and nothing waits in its outbox any more.
    pub fn settle(&mut self, images: u64) {
        // Too little may be left to send for a loss of many acknowledgements to come to its end.
        self.proxy.lose_no_more();
        let until = Instant::now() + PATIENCE;
        for number in 0.. {
            let status = self.answered(&format!("settle-{number}"));
            // A file can be read twice under load, so that the samples tell. The answer is not in the outbox yet.
            if status["data"]["samples"] == images && status["data"]["spooled"] == 0 {
                return;
            }
            assert!(Instant::now() < until, "it does not come to rest: {status}");
            self.ears.listen(Instant::now() + Duration::from_millis(100));
        }
    }

    /// The answer to a `status` request; asks again where a broker that was killed took the question or the answer with
    /// it, and checks that all answers to it are the same.
    pub fn answered(&mut self, transaction: &str) -> Value {
        let until = Instant::now() + PATIENCE;
        loop {
            let answers = self.ears.heard("response/status");
            let ours: Vec<_> = answers.iter().filter(|answer| answer.json["transaction"] == transaction).collect();
            if let Some(first) = ours.first() {
                for other in &ours {
                    assert_eq!(other.json["data"], first.json["data"], "two answers to {transaction}");
                }
                return first.json.clone();
            }
            assert!(Instant::now() < until, "no answer to {transaction}");
            self.ears.send("request/status", &json!({"transaction": transaction}));
            self.ears.listen(Instant::now() + Duration::from_millis(200));
        }
    }
}
