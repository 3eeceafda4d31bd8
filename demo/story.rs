//! The story: pictures without labels, labels, a training, live answers, a newcomer, a second training, the figures.

use std::collections::HashMap;

use edgetuned_learn::words::SampleId;
use serde_json::Value;

use crate::Outcome;
use crate::broker::BASE;
use crate::line::Line;
use crate::pictures::{Class, Deck, Picture};
use crate::second_question;
use crate::teller::{Tally, Teller, share};

/// Images that were seen and whose class a person knows.
type Known = Vec<(SampleId, String)>;

/// Deals each class's pictures once, in order.
struct Hand<'a> {
    left: HashMap<&'a str, std::slice::Iter<'a, Picture>>,
}

impl<'a> Hand<'a> {
    fn new(deck: &'a Deck) -> Self {
        let classes = deck.known.iter().chain([&deck.newcomer]);
        Self { left: classes.map(|class| (class.name.as_str(), class.pictures.iter())).collect() }
    }

    fn next(&mut self, class: &Class) -> Outcome<&'a Picture> {
        let left = self.left.get_mut(class.name.as_str());
        left.and_then(Iterator::next).ok_or_else(|| format!("there are too few pictures of {}", class.name).into())
    }
}

/// Plays the whole story.
pub fn tell(deck: &Deck, line: &mut Line<'_>, teller: &Teller) -> Outcome<()> {
    let mut hand = Hand::new(deck);
    let plan = deck.plan;

    begin(line, teller)?;
    teller.chapter("1  Pictures arrive, nobody has labelled anything");
    let first = unlabelled(deck, &mut hand, line, teller)?;

    teller.chapter("2  A person labels some");
    for _ in 0..plan.filed {
        for class in &deck.known {
            line.place(hand.next(class)?, Some(&class.name))?;
        }
    }
    line.label(&first)?;
    let filed = plan.known * plan.filed;
    teller.line(&format!("{filed} pictures moved into class folders, {} labelled over MQTT by SHA-256", first.len()));
    trained(line, teller)?;

    teller.chapter("3  New pictures, never shown before, are sorted");
    let mut live = Tally::default();
    let mut seen = Known::new();
    for _ in 0..plan.live {
        seen.extend(round(deck.known.iter(), &mut hand, line, &mut live, teller)?);
    }

    let newcomer = &deck.newcomer;
    teller.chapter(&format!("4  Something new on the line: {}", newcomer.name));
    let mut before = Tally::default();
    let mut strangers = Known::new();
    for _ in 0..plan.newcomer_seen.div_ceil(plan.known) {
        let left = plan.newcomer_seen - strangers.len();
        let several = std::iter::repeat_n(newcomer, left.min(plan.known));
        strangers.extend(round(several, &mut hand, line, &mut before, teller)?);
    }

    teller.chapter("5  A person labels again, the newcomer too");
    line.label(&strangers)?;
    for _ in 0..plan.newcomer_filed {
        line.place(hand.next(newcomer)?, Some(&newcomer.name))?;
    }
    line.label(&seen)?;
    for _ in 0..plan.topped_up() {
        for class in &deck.known {
            line.place(hand.next(class)?, Some(&class.name))?;
        }
    }
    let filed = plan.newcomer_filed + plan.known * plan.topped_up();
    let over_mqtt = strangers.len() + seen.len();
    teller.line(&format!("{filed} pictures moved into class folders, {over_mqtt} labelled over MQTT by SHA-256"));
    trained(line, teller)?;

    teller.chapter("6  The proof: pictures it was never shown");
    let mut after = Tally::default();
    for _ in 0..plan.unseen {
        round(deck.known.iter().chain([newcomer]), &mut hand, line, &mut after, teller)?;
    }
    if !deck.lamp.is_empty() {
        teller.chapter("7  A second question about the same pictures: is the lamp on?");
        second_question::ask(&deck.lamp, line, teller)?;
    }
    conclude(&newcomer.name, &before, &live, &after, teller);
    if !deck.lamp.is_empty() {
        second_question::point_to(teller);
    }
    Ok(())
}

fn begin(line: &mut Line<'_>, teller: &Teller) -> Outcome<()> {
    line.until("the daemon to come online", |inbox| inbox.online.then_some(()))?;
    let info = line.until("the daemon's info", |inbox| inbox.info.take())?;
    let backbone = &info["backbone"];
    teller.good(&format!(
        "edgetuned is online; backbone {} gives {} values for each image",
        backbone["name"].as_str().unwrap_or("?"),
        backbone["dim"]
    ));
    Ok(())
}

/// Shows pictures to a device that has no head yet; its predictions have no label.
fn unlabelled(deck: &Deck, hand: &mut Hand<'_>, line: &mut Line<'_>, teller: &Teller) -> Outcome<Known> {
    let mut seen = Known::new();
    for _ in 0..deck.plan.first_seen {
        for class in &deck.known {
            seen.push((line.place(hand.next(class)?, None)?, class.name.clone()));
        }
    }
    let mut nameless = 0;
    for (image, _) in &seen {
        nameless += usize::from(line.prediction(*image)?["label"].is_null());
    }
    teller.line(&format!(
        "{} pictures embedded and reported; {nameless} of them with label null: no head yet",
        seen.len()
    ));
    Ok(seen)
}

/// Waits for a training that starts by itself, and prints its result.
pub fn trained(line: &mut Line<'_>, teller: &Teller) -> Outcome<()> {
    let result = line.until("a training by itself", |inbox| inbox.results.pop_front())?;
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    teller.line(&format!(
        "trained on {} labelled embeddings in {:.2} s ({}, lambda {:.1e})",
        result["n_train"],
        result["fit_seconds"].as_f64().unwrap_or_default(),
        text(&result["solver"]),
        result["lambda"].as_f64().unwrap_or_default(),
    ));
    for who in ["champion", "challenger"] {
        if let Some(accuracy) = result[who]["accuracy"].as_f64() {
            let balanced = result[who]["balanced_accuracy"].as_f64().unwrap_or_default();
            let n = &result[who]["n"];
            teller.line(&format!("{who}: accuracy {accuracy:.3}, balanced {balanced:.3}, on {n} held out"));
        }
    }
    if result["promoted"] == true {
        teller.good(&text(&result["reason"]));
    } else {
        teller.odd(&format!("not promoted, the head in service stays: {}", text(&result["reason"])));
    }
    Ok(())
}

/// Shows one picture of each of `classes` and prints the predictions.
fn round<'a>(
    classes: impl Iterator<Item = &'a Class>,
    hand: &mut Hand<'_>,
    line: &mut Line<'_>,
    tally: &mut Tally,
    teller: &Teller,
) -> Outcome<Known> {
    let mut shown = Known::new();
    for class in classes {
        shown.push((line.place(hand.next(class)?, None)?, class.name.clone()));
    }
    let mut words = Vec::new();
    for (image, truth) in &shown {
        let prediction = line.prediction(*image)?;
        let predicted = prediction["label"].as_str();
        tally.add(truth, predicted);
        words.push(match predicted {
            Some(label) if label == truth => format!("{truth} ✓"),
            label => format!("{truth} taken for {}", label.unwrap_or("nothing")),
        });
    }
    teller.line(&format!("{} | right so far: {}", words.join(", "), share(tally.right(None))));
    Ok(shown)
}

fn conclude(newcomer: &str, before: &Tally, live: &Tally, after: &Tally, teller: &Teller) {
    teller.chapter("What it came to, on pictures it was never shown");
    let all_before = {
        let ((right, all), (new_right, new_all)) = (live.right(None), before.right(None));
        (right + new_right, all + new_all)
    };
    for (what, right) in [
        (format!("all classes, {newcomer} unknown"), all_before),
        (format!("all classes, {newcomer} learned"), after.right(None)),
        (format!("{newcomer} alone, unknown"), before.right(Some(newcomer))),
        (format!("{newcomer} alone, learned"), after.right(Some(newcomer))),
    ] {
        Teller::block(&format!("{what:<32} {}", share(right)));
    }
    teller.chapter("Rows: what it is. Columns: what was said");
    Teller::block(&after.table());
    teller.chapter("To look at on the broker, while a daemon of yours runs");
    for (topic, what) in [
        ("status", "online, stopped or offline"),
        ("prediction", "every image: label, probability, head"),
        ("state", "the latest prediction, kept by the broker"),
        ("train/state", "what a training does now"),
        ("train/result", "what a training brought, and the gate's reason"),
        ("review", "images that are worth a label"),
        ("alert/drift", "what needs a person"),
        ("event", "started, trained, promoted, rejected, quarantined, error"),
        ("health", "counts, every 30 s"),
        ("label", "yours to publish: {\"image\": SHA-256, \"label\": class}"),
    ] {
        Teller::block(&format!("{:<28} {what}", format!("{BASE}/{topic}")));
    }
}
