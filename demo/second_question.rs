//! The second question about the same pictures: whether the machine's lamp is on. It has labels, a head and a state of its
//! own, and sees a region of its own.

use std::time::Duration;

use serde_json::Value;

use crate::Outcome;
use crate::broker::BASE;
use crate::line::Line;
use crate::pictures::Picture;
use crate::story::trained;
use crate::teller::{Tally, Teller, share};

/// Labels that make it train, half of them of each class.
pub const LABELS: usize = 12;

/// Longest wait for a change of the state that two answers of three make likely.
const CHANGE: Duration = Duration::from_secs(2);

/// Labels pictures that were sorted before, waits for the training, shows new ones.
pub fn ask(pictures: &[Picture], line: &mut Line<'_>, teller: &Teller) -> Outcome<()> {
    let mut labels = Vec::new();
    for word in ["on", "off"] {
        labels.extend(line.lamps.iter().filter(|(_, seen)| seen == word).take(LABELS / 2).cloned());
    }
    line.label_lamp(&labels)?;
    teller
        .line(&format!("{} pictures that were sorted before are labelled on or off, for the task lamp", labels.len()));
    trained(line, teller)?;

    teller.line("a state takes two votes of the last three pictures");
    let mut tally = Tally::default();
    let mut answers: Vec<Option<String>> = Vec::new();
    let mut state = None;
    for picture in pictures {
        let image = line.place(picture, None)?;
        let prediction = line.lamp_prediction(image)?;
        let truth = picture.is_lamp_on().map_or("?", crate::lamp::word);
        let said = prediction["label"].as_str();
        answers.push(said.map(str::to_owned));
        tally.add(truth, said);
        let probability = prediction["probability"].as_f64().unwrap_or_default();
        teller.line(&format!("the lamp is {truth} | said: {}, {probability:.2}", said.unwrap_or("nothing")));
        let latest = &answers[answers.len().saturating_sub(3)..];
        let elected = answers.last().filter(|said| latest.iter().filter(|other| other == said).count() >= 2);
        // An answer that is not sure is no vote, so it may be that no change comes.
        let wait = if elected.is_none_or(|said| *said == state) { Duration::ZERO } else { CHANGE };
        if let Some(change) = line.within(wait, "a change of the state", |inbox| inbox.lamp_states.pop_front())? {
            teller.good(&told(&change));
            state = change["state"].as_str().map(str::to_owned);
        } else if let (Some(state), Some(said)) = (&state, said)
            && state != said
        {
            teller.line(&format!("one picture that says {said} is too few: the state stays {state}"));
        }
    }
    teller.line(&format!("right: {}", share(tally.right(None))));
    Ok(())
}

/// A change of the state in words.
fn told(state: &Value) -> String {
    let text = |field: &str| state[field].as_str().unwrap_or("?");
    let since = text("since").split_once('T').map_or("?", |(_, time)| time);
    let (votes, of) = (&state["votes"][0], &state["votes"][1]);
    format!("task/lamp/state: {} since {since}, {votes} votes of {of}; before: {}", text("state"), text("previous"))
}

/// Where to read on.
pub fn point_to(teller: &Teller) {
    teller.chapter("And of the second question");
    for (topic, what) in [
        ("task/lamp/prediction", "every image: is the lamp on"),
        ("task/lamp/state", "published when it changes, kept by the broker"),
        ("label", "yours: {\"task\": \"lamp\", \"image\": SHA-256, \"label\": \"on\"}"),
    ] {
        Teller::block(&format!("{:<36} {what}", format!("{BASE}/{topic}")));
    }
    Teller::block("docs/tasks.md: tasks, regions and states, and \"Is my gate open?\"");
}
