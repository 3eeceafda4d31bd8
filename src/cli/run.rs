//! `edgetuned run`: the daemon.

use std::sync::Arc;

use super::args::Args;
use super::configuration;
use super::failure::Failure;

pub fn run(args: &Args) -> Result<(), Failure> {
    let path = configuration::path(args);
    Ok(crate::daemon::run(Arc::new(move || configuration::sources(&path)))?)
}
