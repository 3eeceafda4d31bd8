//! The service under a real systemd, as an operator meets it: Debian 12 (systemd 252) and Debian 13 (257), each in a
//! container of its own that begins clean for every test.
//!
//! Nothing waits for time, only for what the service manager says. Skipped, with a word of it, where containers cannot be
//! booted: that takes root and apt. The trees are built once, outside of the repository (`lab.sh`).
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

/// Tests under both releases what a function of the same name says of one.
macro_rules! under_both {
    ($($name:ident),+ $(,)?) => {
        $(mod $name {
            use crate::lab::Suite;

            #[test]
            fn under_systemd_252() {
                super::$name(Suite::Bookworm);
            }

            #[test]
            fn under_systemd_257() {
                super::$name(Suite::Trixie);
            }
        })+
    };
}

#[allow(dead_code, reason = "shared with the examples, which use other parts of it")]
#[path = "../support/camera/mod.rs"]
mod camera;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/daemon.rs"]
mod daemon;
mod ends;
mod examples;
mod hang;
mod journal;
mod lab;
mod memory;
#[allow(dead_code, reason = "shared with other tests, which use other parts of it")]
#[path = "../support/mosquitto.rs"]
mod mosquitto;
mod package;
mod reload;
mod sandbox;
mod service;
#[path = "../support/skip.rs"]
mod skip;
mod start;
