//! The synthetic camera gives what the demo and the other tests count on.

use camera::{Camera, Light, Part};

#[allow(dead_code, reason = "shared with the examples, which use other parts of it")]
#[path = "support/camera/mod.rs"]
mod camera;

const SEED: u64 = 7;

/// Mean absolute difference of two pictures, 0..255.
fn difference(a: &image::RgbImage, b: &image::RgbImage) -> f64 {
    let sum: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
    sum as f64 / a.len() as f64
}

fn brightness(picture: &image::RgbImage) -> f64 {
    picture.iter().map(|&channel| f64::from(channel)).sum::<f64>() / picture.len() as f64
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
    for part in Part::ALL {
        let bytes = Camera::new(SEED).jpeg(part, 3, &Light::DAY);
        assert_eq!(bytes, Camera::new(SEED).jpeg(part, 3, &Light::DAY), "{part}");
        assert_ne!(bytes, Camera::new(SEED + 1).jpeg(part, 3, &Light::DAY), "{part}");
        assert_ne!(bytes, Camera::new(SEED).jpeg(part, 4, &Light::DAY), "{part}");
    }
}

#[test]
fn every_part_covers_between_2_and_60_percent_of_its_picture() {
    for part in Part::ALL {
        for index in 0..20 {
            let coverage = Camera::new(SEED).coverage(part, index, &Light::DAY);
            assert!((0.02..0.6).contains(&coverage), "{part} {index} covers {coverage}, seed {SEED}");
        }
    }
}

#[test]
fn the_part_stands_out_from_its_ground() {
    for part in Part::ALL {
        for index in 0..10 {
            let camera = Camera::new(SEED);
            let with = camera.shot(part, index, &Light::DAY);
            let without = camera.ground(part, index, &Light::DAY);
            // Levels by which a pixel of the part differs, its shadow counted in.
            let contrast = difference(&with, &without) / f64::from(camera.coverage(part, index, &Light::DAY));
            assert!(contrast > 12.0, "{part} {index} differs by {contrast} levels from its ground, seed {SEED}");
        }
    }
}

#[test]
fn a_picture_is_a_jpeg_of_the_size_asked_for() {
    let bytes = Camera::new(SEED).with_size(160, 100).with_quality(60).jpeg(Part::Gear, 0, &Light::DAY);
    let picture = image::load_from_memory_with_format(&bytes, image::ImageFormat::Jpeg).unwrap().to_rgb8();
    assert_eq!(picture.dimensions(), (160, 100));
    let drawn = Camera::new(SEED).with_size(160, 100).shot(Part::Gear, 0, &Light::DAY);
    let loss = difference(&drawn, &picture);
    assert!(loss < 8.0, "the file differs by {loss} levels from what was drawn, seed {SEED}");
}

#[test]
fn classes_of_one_index_are_different_pictures() {
    let pictures = Part::ALL.map(|part| Camera::new(SEED).shot(part, 0, &Light::DAY));
    for (i, a) in pictures.iter().enumerate() {
        for (j, b) in pictures.iter().enumerate().skip(i + 1) {
            let apart = difference(a, b);
            assert!(apart > 3.0, "{} and {} differ by {apart}, seed {SEED}", Part::ALL[i], Part::ALL[j]);
        }
    }
}

#[test]
fn evening_is_darker_and_yellower_than_day() {
    for index in 0..5 {
        let [day, evening] = [Light::DAY, Light::EVENING].map(|light| Camera::new(SEED).shot(Part::Nut, index, &light));
        assert!(brightness(&evening) < 0.9 * brightness(&day), "index {index}, seed {SEED}");
        let [day, evening] = [day, evening].map(|picture| {
            let sum = |channel: usize| picture.pixels().map(|pixel| f64::from(pixel.0[channel])).sum::<f64>();
            sum(0) / sum(2)
        });
        assert!(evening > 1.1 * day, "red over blue is {evening} in the evening, {day} by day, index {index}");
    }
}

#[test]
fn a_name_finds_its_part_and_an_unknown_one_names_all() {
    for part in Part::ALL {
        assert_eq!(part.name().parse(), Ok(part));
    }
    let error = "cog".parse::<Part>().unwrap_err();
    assert!(error.contains("\"cog\"") && error.contains("bearing"), "{error}");
}
