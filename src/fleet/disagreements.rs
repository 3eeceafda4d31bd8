//! Classes that a device sees differently from the others.
//!
//! Distances are to the median of the devices' means, value by value, so that one device that is far off moves nothing; in units of the
//! median distance of an image from its class's mean. A device in another light is named, too, so this only says whom to look at.

use ndarray::ArrayView1;

use super::merge::Device;
use crate::words::{ClassSet, Label};

/// A device's class is said to be seen differently from this many times the median distance on.
const FAR: f64 = 3.0;
/// Devices that must have a class before one of them can be called different.
const ENOUGH: usize = 3;

/// A class that a device sees differently from the others.
#[derive(Debug, Clone, PartialEq)]
pub struct Disagreement {
    /// The device.
    pub device: String,
    /// The class.
    pub class: Label,
    /// From its mean to the middle of all devices' means; 1 is as far as an image lies from the mean of its class.
    pub distance: f64,
    /// The class whose middle it is nearest to, where that is another one.
    pub nearest: Option<Label>,
}

/// Those of `devices`, whose embeddings have `d` values, the farthest first.
pub(super) fn disagreements(devices: &[Device], classes: &ClassSet, d: usize) -> Vec<Disagreement> {
    let unit = median(devices.iter().map(|device| device.spread).filter(|spread| *spread > 0.0).collect());
    let unit = unit.filter(|unit| *unit > 0.0).unwrap_or(1.0);
    let mut means: Vec<Vec<ArrayView1<'_, f32>>> = vec![Vec::new(); classes.len()];
    for device in devices {
        device.classes.iter().zip(device.means.rows()).for_each(|(&(class, _), mean)| means[class].push(mean));
    }
    let middle = |means: &Vec<ArrayView1<'_, f32>>| -> Vec<f32> {
        (0..d).map(|at| median_f32(means.iter().map(|mean| mean[at]).collect())).collect()
    };
    let middles: Vec<Vec<f32>> = means.iter().map(middle).collect();
    let mut found: Vec<Disagreement> = Vec::new();
    for device in devices {
        for (&(class, _), mean) in device.classes.iter().zip(device.means.rows()) {
            let distance = |other: &Vec<f32>| {
                let squares = mean.iter().zip(other).map(|(a, b)| f64::from(a - b).powi(2));
                squares.sum::<f64>().sqrt() / unit
            };
            let distances: Vec<f64> = middles.iter().map(distance).collect();
            let nearest = (0..distances.len()).min_by(|&a, &b| distances[a].total_cmp(&distances[b])).unwrap_or(class);
            found.push(Disagreement {
                device: device.name.clone(),
                class: classes.labels()[class].clone(),
                distance: distances[class],
                nearest: Some(nearest).filter(|nearest| *nearest != class).map(|class| classes.labels()[class].clone()),
            });
        }
    }
    let usual = median(found.iter().map(|found| found.distance).collect()).unwrap_or(0.0);
    let is_told = |one: &Disagreement| {
        let class = classes.index_of(&one.class).expect("one of these classes");
        means[class].len() >= ENOUGH && (one.nearest.is_some() || one.distance > FAR * usual)
    };
    found.retain(is_told);
    found.sort_by(|a, b| b.distance.total_cmp(&a.distance));
    found
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    let middle = values.len() / 2;
    (!values.is_empty()).then(|| *values.select_nth_unstable_by(middle, f64::total_cmp).1)
}

fn median_f32(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::super::merge::tests::merged;
    use super::super::statistics::tests::{label, samples, shared, source};
    use super::super::{Aliases, Statistics};
    use super::*;

    #[test]
    fn a_device_that_calls_things_otherwise_is_named_with_what_it_means() {
        let mut devices: Vec<_> =
            (0..5).map(|i| (format!("line-{i}"), shared(i, &["gear", "nut", "bolt"], 30, 6))).collect();
        assert_eq!(merged(&devices, &Aliases::default()).disagreements, []);
        // It calls gears nuts, and nuts gears.
        let (x, y) = samples(9, &["gear", "nut", "bolt"], 30, 6);
        let exchanged: Vec<Label> = y
            .iter()
            .map(|own| match own.as_str() {
                "gear" => label("nut"),
                "nut" => label("gear"),
                _ => own.clone(),
            })
            .collect();
        devices.push(("odd".into(), Statistics::gather(source(6), x.view(), &exchanged, None, 1).unwrap()));
        let found = merged(&devices, &Aliases::default()).disagreements;
        let told: Vec<_> = found
            .iter()
            .map(|one| (one.device.as_str(), one.class.as_str(), one.nearest.as_ref().map(Label::as_str)))
            .collect();
        assert!(
            told.contains(&("odd", "gear", Some("nut"))) && told.contains(&("odd", "nut", Some("gear"))),
            "{told:?}"
        );
        assert!(told.iter().all(|(device, ..)| *device == "odd"), "{told:?}");
    }

    #[test]
    fn a_device_whose_numbers_are_scaled_is_named_alone() {
        let mut devices: Vec<_> =
            (0..5).map(|i| (format!("line-{i}"), shared(i, &["gear", "nut", "bolt"], 30, 6))).collect();
        let (x, y) = samples(9, &["gear", "nut", "bolt"], 30, 6);
        let scaled = x.mapv(|value| value * 1_000.0);
        devices.push(("loud".into(), Statistics::gather(source(6), scaled.view(), &y, None, 1).unwrap()));
        let found = merged(&devices, &Aliases::default()).disagreements;
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().all(|one| one.device == "loud" && one.distance > 100.0), "{found:?}");
    }
}
