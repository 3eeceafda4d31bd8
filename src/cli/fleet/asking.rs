//! Carries out a [`Round`] over one connection to the broker.

use std::time::{Duration, Instant};

use crate::cli::failure::Failure;
use crate::cli::output::Output;
use crate::mqtt::{Courier, LinkEvent, Reach, Settings};
use crate::rounds::{Act, Ending, Heard, Round, Talk};
use crate::wire::{DevicePattern, InboundTopic, Payload, Response, Topic};

/// Messages that are on their way to the broker at a time.
const IN_FLIGHT_MAX: usize = 32;
/// How long the broker may be away at the start.
const CONNECTS: Duration = Duration::from_secs(30);

/// Runs `round` to its end, with the devices that `pattern` means; `request` is the name of what it asks. `ended` gets what was
/// talked with each device when that has ended.
pub fn run<T: Talk, M: Fn(&str) -> T>(
    mut round: Round<T, M>,
    settings: &Settings,
    pattern: &DevicePattern,
    request: &str,
    output: Output,
    mut ended: impl FnMut(String, &T, Ending) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let topics = [Topic::Info.to_string(), Topic::Response(request.to_owned()).to_string()];
    let mut courier = Courier::connect(settings, Reach::Fleet, &topics).map_err(Failure::unavailable)?;
    let began = Instant::now();
    let bar = output.progress(0, "devices");
    loop {
        while courier.in_flight() < IN_FLIGHT_MAX {
            match round.next_act() {
                None => break,
                Some(Act::Ended { device, talk, ending }) => ended(device, &talk, ending)?,
                Some(Act::Ask { device, request, arguments }) => {
                    let payload = serde_json::to_vec(&arguments).expect("its keys are strings");
                    let topic = InboundTopic::Request(request.to_owned());
                    courier.send(&device, &topic, payload, false).map_err(Failure::unavailable)?;
                }
            }
        }
        if round.is_over() {
            break;
        }
        let (found, over) = round.progress();
        bar.set_length(found as u64);
        bar.set_position(over as u64);
        let due = round.due().map_or(CONNECTS, |due| due.saturating_sub(began.elapsed()));
        let event = courier.next(due);
        if event.is_none() && !round.has_connected() {
            return Err(Failure::unavailable(format!(
                "no connection to {} for {} s; check --url, and that the broker runs",
                courier.broker(),
                CONNECTS.as_secs()
            )));
        }
        if let Some(heard) = heard(event, pattern) {
            round.hear(began.elapsed(), heard);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// What a round hears of an event.
fn heard(event: Option<LinkEvent>, pattern: &DevicePattern) -> Option<Heard> {
    match event {
        None | Some(LinkEvent::Acknowledged) => Some(Heard::Tick),
        Some(LinkEvent::Connected) => Some(Heard::Connected),
        Some(LinkEvent::Lost { reason }) => {
            tracing::warn!(reason, "no connection to the broker");
            None
        }
        Some(LinkEvent::Message { device, topic, payload, .. }) => match topic {
            // An empty one removes the device.
            Topic::Info => (!payload.is_empty() && pattern.matches(&device)).then_some(Heard::Device(device)),
            Topic::Response(_) => {
                let Response { transaction, answer, .. } = Response::decode(&payload).ok()?;
                Some(Heard::Answer { device, transaction: transaction?, answer })
            }
            _ => None,
        },
    }
}
