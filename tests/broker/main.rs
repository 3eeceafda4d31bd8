//! The link to a real broker, and to brokers that are none: what arrives, what comes again, and what is said when
//! something is wrong.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/mosquitto.rs"]
mod mosquitto;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/proxy.rs"]
mod proxy;

mod access;
mod device;
mod frames;
mod inbound;
mod links;
mod outbox;
mod peer;
mod rude;
mod scripted;
#[path = "../support/skip.rs"]
mod skip;
