//! The demo: a camera, a daemon, a broker and a person who labels, reported as it happens.
//!
//! ```text
//! make demo                     # a synthetic camera over a sorting line
//! make demo PHOTOS=folder       # your own photographs, a folder for each class
//! ```
//!
//! It drives the built `edgetuned` as a user would: a configuration file, a watched folder, MQTT. Nothing here looks
//! inside the daemon.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

mod broker;
#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../tests/support/camera/mod.rs"]
mod camera;
mod daemon;
mod lamp;
mod line;
mod pictures;
mod second_question;
mod story;
mod teller;

/// An error is printed and ends the demo.
type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Parser)]
#[command(about = "Shows edgetuned learning on a sorting line, in under a minute")]
struct Arguments {
    /// Your own photographs, a folder for each class; without it a synthetic camera draws machine parts
    #[arg(long)]
    photos: Option<PathBuf>,
    /// Everything random comes from this
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Backbone: a bundled name or a manifest's path; without it 'default' for photographs, and the quicker 'photo' for
    /// drawn parts
    #[arg(long)]
    backbone: Option<String>,
    /// The edgetuned to run; without it the one built beside this program
    #[arg(long)]
    program: Option<PathBuf>,
}

fn main() -> ExitCode {
    let teller = teller::Teller::new();
    match run(&Arguments::parse(), &teller) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            teller.failure(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, teller: &teller::Teller) -> Outcome<()> {
    let deck = match &arguments.photos {
        Some(folder) => pictures::Deck::of_photos(folder, arguments.seed)?,
        None => pictures::Deck::of_camera(arguments.seed),
    };
    let address = broker::start()?;
    let listener = broker::Listener::connect(address)?;
    let program = match &arguments.program {
        Some(path) => path.clone(),
        None => daemon::beside_this_program()?,
    };
    // The camera draws parts so simple that the small network tells them apart, in less time.
    let usual = if arguments.photos.is_some() { "default" } else { "photo" };
    let backbone = arguments.backbone.as_deref().unwrap_or(usual);
    let settings = daemon::Settings {
        backbone,
        broker: address,
        min_new_labels: deck.plan.first_labels(),
        lamp_labels: (!deck.lamp.is_empty()).then_some(second_question::LABELS),
    };
    let daemon = daemon::Daemon::start(&program, &settings)?;
    let mut line = line::Line::new(daemon, listener, teller);
    story::tell(&deck, &mut line, teller)
        .map_err(|error| format!("{error}\n\nthe daemon's last words:\n{}", line.daemon.last_words()).into())
}
