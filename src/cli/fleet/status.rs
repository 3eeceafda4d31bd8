//! `edgetuned fleet status`: what the retained messages of all devices say, as a table.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::cli::args::Args;
use crate::cli::broker::{BrokerChoice, no_device};
use crate::cli::failure::{Failure, one_line};
use crate::cli::output::Output;
use crate::mqtt::{Courier, LinkEvent, Reach};
use crate::update::rollout::{QUIET, SEARCH_MAX};
use crate::wire::{DevicePattern, FleetRow, FleetView, RowHead};

pub const EXAMPLES: &str = "\
Examples:
  edgetuned fleet status --url mqtt://broker:1883
  edgetuned fleet status --devices 'line-*' --watch

User, password and TLS are those of the mqtt section of the file that --config names.";

/// How long the broker has to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// Between two tables of `--watch`.
const REFRESH: Duration = Duration::from_secs(2);

/// `fleet status`
#[derive(Debug, clap::Args)]
pub struct StatusOptions {
    #[command(flatten)]
    pub broker: BrokerChoice,
    /// Which devices: an id, or a pattern with * for any characters
    #[arg(long, value_name = "PATTERN", default_value = "*")]
    pub devices: DevicePattern,
    /// Show it again every 2 s, on a terminal
    #[arg(long)]
    pub watch: bool,
}

pub fn status(args: &Args, options: &StatusOptions, output: Output) -> Result<(), Failure> {
    let settings = options.broker.settings(args, None)?;
    let courier = Courier::connect(&settings, Reach::Fleet, &FleetView::filters()).map_err(Failure::unavailable)?;
    let mut reader = Reader { courier, view: FleetView::new(options.devices.clone()) };
    reader.read_kept()?;
    if options.watch && !output.json && io::stdout().is_terminal() {
        return reader.watch();
    }
    let rows = reader.view.rows();
    if rows.is_empty() {
        return Err(no_device(&options.devices, "--devices", &settings));
    }
    output.print(&rows, |out| table(&rows, out))
}

struct Reader {
    courier: Courier,
    view: FleetView,
}

impl Reader {
    /// Reads what the broker keeps, until nothing more of it comes.
    fn read_kept(&mut self) -> Result<(), Failure> {
        let (mut until, mut last, mut why) = (Instant::now() + CONNECT, None, String::new());
        loop {
            let event = self.courier.next(until.saturating_duration_since(Instant::now()));
            match event {
                None if last.is_some() => return Ok(()),
                None => {
                    let broker = self.courier.broker();
                    return Err(Failure::unavailable(format!(
                        "no connection to {broker} for {} s{why}; check --url, and that the broker runs",
                        CONNECT.as_secs()
                    )));
                }
                Some(LinkEvent::Connected) => {
                    let end = *last.get_or_insert_with(|| Instant::now() + SEARCH_MAX);
                    until = end.min(Instant::now() + QUIET);
                }
                Some(LinkEvent::Message { device, topic, payload, retained }) => {
                    self.view.hear(&device, &topic, &payload);
                    if let Some(end) = last.filter(|_| retained) {
                        until = end.min(Instant::now() + QUIET);
                    }
                }
                Some(LinkEvent::Lost { reason }) => why = format!(": {}", one_line(&reason)),
                Some(LinkEvent::Acknowledged) => {}
            }
        }
    }

    /// A table every few seconds, until somebody ends it.
    fn watch(&mut self) -> Result<(), Failure> {
        let mut lost = None;
        loop {
            draw(&self.view.rows(), lost.as_deref()).map_err(|error| {
                Failure::failed(format!("cannot write the table to the terminal: {error}; start it again"))
            })?;
            let until = Instant::now() + REFRESH;
            while let Some(event) = self.courier.next(until.saturating_duration_since(Instant::now())) {
                match event {
                    LinkEvent::Message { device, topic, payload, .. } => self.view.hear(&device, &topic, &payload),
                    LinkEvent::Connected => lost = None,
                    LinkEvent::Lost { reason } => lost = Some(reason),
                    LinkEvent::Acknowledged => {}
                }
            }
        }
    }
}

/// Puts the table in the place of the one before.
fn draw(rows: &[FleetRow], lost: Option<&str>) -> io::Result<()> {
    let mut text = b"\x1b[H\x1b[2J".to_vec();
    table(rows, &mut text)?;
    if let Some(reason) = lost {
        writeln!(text, "no connection to the broker: {}; it is tried again", one_line(reason))?;
    }
    let mut out = io::stdout().lock();
    out.write_all(&text)?;
    out.flush()
}

const HEADLINE: [&str; 9] = ["device", "status", "head", "live", "drift", "queue", "outbox", "labelled", "alerts"];

/// One line a device, under a headline; `-` is what is not known or not there.
fn table(rows: &[FleetRow], out: &mut dyn Write) -> io::Result<()> {
    let lines: Vec<[String; 9]> = std::iter::once(HEADLINE.map(str::to_owned)).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 9] = std::array::from_fn(width);
    for line in &lines {
        let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
}

fn cells(row: &FleetRow) -> [String; 9] {
    let known = |count: Option<u64>| count.map_or("-".to_owned(), |count| count.to_string());
    let labelled = match (row.labelled, row.samples) {
        (Some(labelled), Some(samples)) => format!("{labelled}/{samples}"),
        _ => "-".to_owned(),
    };
    let alerts: Vec<_> = row.alerts.iter().map(ToString::to_string).collect();
    [
        row.device.clone(),
        row.status.unwrap_or("-").to_owned(),
        by_task(&row.heads, |head| Some(head.head.as_ref()?.version.to_string())),
        by_task(&row.heads, |head| {
            let live = head.live?.prequential;
            Some(format!("{:.1}% of {}", 100.0 * live.accuracy?, live.n))
        }),
        if row.drift { "yes" } else { "-" }.to_owned(),
        known(row.queue),
        known(row.outbox),
        labelled,
        if alerts.is_empty() { "-".to_owned() } else { alerts.join(" ") },
    ]
}

/// Something of each head, with the task where there are any.
fn by_task(heads: &[RowHead], cell: impl Fn(&RowHead) -> Option<String>) -> String {
    let cell = |head: &RowHead| {
        let text = cell(head).unwrap_or_else(|| "-".to_owned());
        head.task.as_ref().map_or(text.clone(), |task| format!("{task}: {text}"))
    };
    let cells: Vec<_> = heads.iter().map(cell).collect();
    if cells.is_empty() { "-".to_owned() } else { cells.join(", ") }
}
