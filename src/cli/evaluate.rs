//! `edgetuned evaluate`: an existing head on a folder per class.

use super::args::{Args, Evaluate};
use super::configuration;
use super::embedding;
use super::failure::Failure;
use super::output::Output;
use super::report::{Report, measure};

pub fn evaluate(args: &Args, command: &Evaluate, output: Output) -> Result<(), Failure> {
    let config = configuration::if_named(args)?;
    let (record, mut embeddings) =
        embedding::open_head(config.as_ref(), &command.head, command.region.region.as_ref())?;
    let measured = measure(&mut embeddings, &record.dense, &command.dir, command.seed, output)?;
    let report = Report::new(&record, &command.head.file, measured);
    output.print(&report, |out| report.write(out))
}
