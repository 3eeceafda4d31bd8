//! `edgetuned run`: the daemon.

use super::args::Args;
use super::configuration;
use super::failure::Failure;

pub fn run(args: &Args) -> Result<(), Failure> {
    let config = configuration::load(args)?;
    Ok(crate::app::run(&config)?)
}
