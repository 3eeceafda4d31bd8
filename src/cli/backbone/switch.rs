//! `edgetuned backbone switch`: the running daemon changes over to another backbone.
//!
//! The daemon does all of it, and goes on when this command ends before; here it is asked, and asked again how it gets on
//! until the new backbone serves or was not taken.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cli::args::Args;
use crate::cli::failure::Failure;
use crate::cli::output::{self, Output};
use crate::cli::{configuration, ctl};
use crate::config::Config;
use crate::head::BackboneRef;
use crate::wire::command::{Status, Switch};
use crate::wire::{SwitchPhase, SwitchReport, Switching};
use crate::words::is_manifest_path;

/// Between two questions.
const EVERY: Duration = Duration::from_millis(300);
/// How long the daemon may give no answer: a service manager starts it again within this.
const PATIENCE: Duration = Duration::from_mins(1);

pub fn switch(args: &Args, backbone: &str, output: Output) -> Result<(), Failure> {
    let config = configuration::load(args)?;
    let asked = if is_manifest_path(backbone) {
        // The daemon runs in another folder.
        std::path::absolute(backbone).map_err(Failure::failed)?.to_string_lossy().into_owned()
    } else {
        backbone.to_owned()
    };
    let begun = ctl::ask::<Switch>(&config, json!({ "backbone": asked })).map_err(|failure| {
        let how =
            "the running daemon changes over; where no image has a label yet, setting backbone.model does as well";
        if failure.is_unavailable() { failure.and(how) } else { failure }
    })?;
    let Switching { backbone: BackboneRef { name, .. }, .. } = &begun;
    if !begun.begun {
        return output.print(&begun, |out| writeln!(out, "{name} serves already"));
    }
    let end = wait(&config, name, output)?;
    match end.phase {
        SwitchPhase::Trial | SwitchPhase::Installed => {
            output.print(&end, |out| writeln!(out, "{}", output::switch(&end)))
        }
        SwitchPhase::Reverted => Err(Failure::failed(output::switch(&end))),
        _ => Err(Failure::failed(format!("{}; nothing has changed", output::switch(&end)))),
    }
}

/// How the switch to the backbone of this name ended; a bar shows how many images are embedded.
fn wait(config: &Config, name: &str, output: Output) -> Result<SwitchReport, Failure> {
    let bar = output.progress(0, "embedding");
    let mut answered = Instant::now();
    loop {
        match ctl::ask::<Status>(config, json!({})).map(|status| status.switch) {
            Ok(Some(report)) if report.name == name => {
                answered = Instant::now();
                if !matches!(report.phase, SwitchPhase::Preparing | SwitchPhase::Starting) {
                    bar.finish_and_clear();
                    return Ok(report);
                }
                bar.set_length(report.of.unwrap_or_default());
                bar.set_position(report.embedded.unwrap_or_default());
            }
            Ok(_) => {
                let reason = "another switch was asked for meanwhile; 'edgetuned ctl status' shows it";
                return Err(Failure::failed(reason));
            }
            Err(failure) if !failure.is_unavailable() || answered.elapsed() > PATIENCE => {
                return Err(
                    failure.and("the switch goes on while the daemon runs, and 'edgetuned ctl status' shows how")
                );
            }
            Err(_) => {}
        }
        thread::sleep(EVERY);
    }
}
