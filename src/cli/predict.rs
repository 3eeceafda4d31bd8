//! `edgetuned predict`: which class each picture is.

use std::collections::HashMap;
use std::io;

use serde::Serialize;

use super::args::{Args, Predict};
use super::configuration;
use super::embedding;
use super::failure::Failure;
use super::output::Output;
use crate::shared::settings::doubt_rates;
use crate::words::{HeadId, Label, SampleId};

/// The result for one file.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Answer {
    Prediction(Prediction),
    Error { file: String, error: String },
}

#[derive(Debug, Serialize)]
struct Prediction {
    file: String,
    image: SampleId,
    label: Option<Label>,
    probability: Option<f32>,
    top: Vec<Choice>,
    /// Classes that cannot be excluded, likeliest first; null with too little held out to say.
    set: Option<Vec<Label>>,
    /// Whether it is none of the classes; null as above.
    unknown: Option<bool>,
    /// How far it is from everything known; null as above.
    novelty: Option<f64>,
    head: HeadId,
    backbone: String,
}

#[derive(Debug, Serialize)]
struct Choice {
    label: Label,
    probability: f32,
}

pub fn predict(args: &Args, command: &Predict, output: Output) -> Result<(), Failure> {
    let config = configuration::if_named(args)?;
    let top_k =
        command.top_k.map_or(config.as_ref().map_or(3, |config| config.prediction.top_k), |top_k| top_k as usize);
    let rates = doubt_rates(config.as_ref());
    let (record, mut embeddings) =
        embedding::open_head(config.as_ref(), &command.head, command.region.region.as_ref())?;
    let embedded = embeddings.embed(&command.files, output)?;
    // What is unknown is so to the backbone itself, whatever its last layers were trained on to.
    let trunk = match record.tuning {
        Some(_) => Some(embeddings.with_tail(config.as_ref(), None)?.embed(&command.files, output)?),
        None => None,
    };
    let trunk = trunk.as_ref().unwrap_or(&embedded);
    let rows: HashMap<usize, usize> = trunk.files.iter().enumerate().map(|(row, file)| (*file, row)).collect();
    let probabilities = record.dense.probabilities_of(&embedded.embeddings).map_err(Failure::failed)?;
    let mut answers: Vec<Option<Answer>> = command.files.iter().map(|_| None).collect();
    for (row, (file, id)) in embedded.files.iter().zip(&embedded.ids).enumerate() {
        let p = probabilities.row(row).to_vec();
        let embedding = rows.get(file).map(|row| trunk.embeddings.row(*row).to_vec());
        let doubt = embedding.map(|embedding| record.calibration.doubt(&p, &embedding, rates)).unwrap_or_default();
        let labels = |classes: Vec<usize>| record.dense.classes.likeliest(&p, classes);
        let top = record.dense.classes.top(&p, top_k);
        answers[*file] = Some(Answer::Prediction(Prediction {
            file: command.files[*file].display().to_string(),
            image: *id,
            label: top.first().map(|(label, _)| label.clone()),
            probability: top.first().map(|(_, probability)| *probability),
            top: top.into_iter().map(|(label, probability)| Choice { label, probability }).collect(),
            set: doubt.set.map(labels),
            unknown: doubt.unknown,
            novelty: doubt.novelty,
            head: record.head.id.clone(),
            backbone: record.backbone.name.clone(),
        }));
    }
    for (file, error) in &embedded.refused {
        let (path, error) = (command.files[*file].display().to_string(), error.clone());
        answers[*file] = Some(Answer::Error { file: path, error });
    }
    let answers: Vec<Answer> = answers.into_iter().flatten().collect();
    output.print(&answers, |out| answers.iter().try_for_each(|answer| write_answer(answer, out)))?;
    if embedded.refused.is_empty() { Ok(()) } else { Err(Failure::already_printed(1)) }
}

/// One line a file; an error goes to standard error, so that the predictions can be piped on.
fn write_answer(answer: &Answer, out: &mut dyn io::Write) -> io::Result<()> {
    match answer {
        Answer::Error { error, .. } => {
            eprintln!("edgetuned: {error}");
            Ok(())
        }
        Answer::Prediction(prediction) => {
            let choice = |choice: &Choice| format!("{} {:.1} %", choice.label, 100.0 * choice.probability);
            let top: Vec<String> = prediction.top.iter().map(choice).collect();
            let unknown = if prediction.unknown == Some(true) { " (unknown: like none of the classes)" } else { "" };
            writeln!(out, "{}: {}{unknown}", prediction.file, top.join(", "))
        }
    }
}
