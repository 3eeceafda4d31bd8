//! `--region`: heads that look at a part of their pictures.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{Rgb, RgbImage};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use crate::camera::{Camera, Light, Part};
use crate::desk::{Desk, SEED};

/// Centres of both lamps, in parts of width and height.
const LAMPS: [[f32; 2]; 2] = [[0.25, 0.45], [0.75, 0.45]];
/// What is to the left, with room for a lamp that is moved.
const LEFT: &str = "0,0.1,0.5,0.8";

/// A desk under two lamps, each lit or not, in light that varies from picture to picture.
fn scene(lit: [bool; 2], index: u64) -> Vec<u8> {
    let mut random = ChaCha8Rng::seed_from_u64(SEED ^ (index << 2 | u64::from(lit[0]) << 1 | u64::from(lit[1])));
    let light = Light { brightness: random.random_range(0.5..1.0), ..Light::DAY };
    let mut picture = Camera::new(SEED).with_size(160, 120).ground(Part::Nut, index, &light);
    let (width, height) = (picture.width() as f32, picture.height() as f32);
    for (lit, [x, y]) in lit.into_iter().zip(LAMPS) {
        let (x, y) = (x * width + random.random_range(-6.0..6.0), y * height + random.random_range(-5.0..5.0));
        for (at_x, at_y, pixel) in picture.enumerate_pixels_mut() {
            let away = (at_x as f32 - x).hypot(at_y as f32 - y);
            // A stand, a bulb, and light around it.
            if (at_x as f32 - x).abs() < 2.0 && at_y as f32 > y {
                *pixel = Rgb([40, 36, 34]);
            }
            if lit {
                let glow = (1.0 - away / 34.0).max(0.0);
                for (value, warm) in pixel.0.iter_mut().zip([150.0, 130.0, 70.0]) {
                    *value = (f32::from(*value) + warm * glow).min(255.0) as u8;
                }
            }
            if away < 11.0 {
                *pixel = Rgb(if lit { [255, 244, 190] } else { [92, 90, 86] });
            }
        }
    }
    jpeg(&picture)
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    JpegEncoder::new_with_quality(&mut bytes, 90).encode_image(picture).unwrap();
    bytes.into_inner()
}

/// A desk with pictures of both lamps in `train/` and `test/`, in folders that say of the left one whether it is lit; the
/// right one is as often.
fn lamps(train: u64, test: u64) -> Desk {
    let desk = Desk::new();
    for (folder, from, n) in [("train", 0, train), ("test", 1000, test)] {
        for index in from..from + n {
            let lit = [index % 2 == 0, index / 2 % 2 == 0];
            let class = if lit[0] { "lit" } else { "dark" };
            desk.put(&format!("{folder}/{class}/{index}.jpg"), &scene(lit, index));
        }
    }
    desk
}

fn number(report: &Value, name: &str) -> f64 {
    report[name].as_f64().unwrap_or_else(|| panic!("{name} in {report}"))
}

#[test]
fn a_head_that_looks_at_the_left_lamp_is_not_misled_by_the_right_one() {
    let desk = lamps(12, 40);
    let accuracy = |options: &str| {
        let report = desk.good(&format!("train train --test test --out h.safetensors {options}"));
        assert_eq!((&report["n_train"], &report["n_test"]), (&12.into(), &40.into()));
        number(&report, "accuracy")
    };
    let (whole, left) = (accuracy(""), accuracy(&format!("--region {LEFT}")));
    println!("seed {SEED}: whole pictures {whole}, the left lamp {left}");
    assert!(left >= 0.95, "seed {SEED}: the left lamp {left}");
    assert!(whole <= left - 0.1, "seed {SEED}: whole pictures {whole}, the left lamp {left}");
}

#[test]
fn a_head_remembers_its_region_and_refuses_another_one() {
    let desk = lamps(8, 4);
    let cached = "--backbone tiny-test";
    let report = desk.good(&format!("train train --out left.safetensors {cached} --region {LEFT}"));
    assert_eq!((&report["region"], &report["embedded"]), (&json!([0.0, 0.1, 0.5, 0.8]), &8.into()));
    // The cache keeps regions apart, and knows each again.
    let whole = desk.good(&format!("train train --out whole.safetensors {cached}"));
    assert_eq!((whole.get("region"), &whole["embedded"]), (None, &8.into()));
    for region in [LEFT, "[[0,0.1],[0.5,0.1],[0.5,0.8],[0,0.8]]", "[[0,0.1],[0.5,0.1],[0,0.8]]"] {
        let done = desk.good(&format!("embed train --out e.npz {cached} --region {region}"));
        assert_eq!(done["embedded"], if region == LEFT { 0 } else { 8 }, "{region}");
    }
    let answer = |options: &str| desk.good(&format!("predict test/lit/1000.jpg {options}"))[0]["probability"].clone();
    let left = answer("--head left.safetensors");
    assert_eq!(answer(&format!("--head left.safetensors --region {LEFT}")), left);
    assert_eq!(answer("--head left.safetensors --region [0,0.1,0.5,0.8]"), left);
    assert_ne!(answer("--head whole.safetensors"), left);
    assert_eq!(answer("--head whole.safetensors --region 0,0,1,1"), answer("--head whole.safetensors"));
    let evaluated = desk.good("evaluate test --head left.safetensors");
    assert_eq!((&evaluated["region"], &evaluated["n_test"]), (&report["region"], &4.into()));
    for command in ["predict test/lit/1000.jpg", "evaluate test"] {
        let (own, other) = ("the region [0.0, 0.1, 0.5, 0.8]", "the region [0.5, 0.1, 1.0, 0.8]");
        let says = ["left.safetensors", own, other, "leave --region out"];
        desk.fails(&format!("{command} --head left.safetensors --region 0.5,0.1,1,0.8"), 64, &says);
        let says = [own, "names the whole picture"];
        desk.fails(&format!("{command} --head left.safetensors --region 0,0,1,1"), 64, &says);
        let says = ["looks at the whole picture", other];
        desk.fails(&format!("{command} --head whole.safetensors --region 0.5,0.1,1,0.8"), 64, &says);
    }
    let people = desk.run(&format!("train train --out left.safetensors {cached} --region {LEFT}"));
    assert!(people.out.contains("region     [0.0, 0.1, 0.5, 0.8]\n"), "{}", people.out);
    let people = desk.run(&format!("embed train --out e.npz {cached} --region {LEFT}"));
    assert!(people.out.contains("8 embeddings of the region [0.0, 0.1, 0.5, 0.8] of"), "{}", people.out);
}

#[test]
fn what_is_no_region_is_wrong_usage_before_anything_is_read() {
    let desk = Desk::new();
    for (region, says) in [
        ("0,0.25,0.3", "0,0.25,0.3,0.85, or the corners of a polygon"),
        ("door", "such as 0,0.25,0.3,0.85"),
        ("0,0,2,1", "from 0 to 1; found 2"),
        ("-0.1,0,1,1", "found -0.1"),
        ("0.3,0,0.3,1", "at least 0.01 wide and high"),
        ("[[0,0],[1,1]]", "3 to 64 corners, this one has 2"),
        ("[[0,0],[0.5,0.5],[1,1]]", "do not lie on one line"),
    ] {
        for command in ["train gone", "embed gone --out e.npz", "predict gone --head h", "evaluate gone --head h"] {
            let ran = desk.run(&format!("{command} --region {region}"));
            assert_eq!(ran.code, Some(64), "{command} --region {region}: {}", ran.err);
            assert!(ran.err.contains("--region") && ran.err.contains(says), "{command} --region {region}: {}", ran.err);
        }
    }
}

#[test]
fn regions_are_drawn_by_the_configuration_and_by_hand() {
    let desk = Desk::new();
    desk.put("garage.jpg", &scene([true, false], 1));
    let config = format!(
        "store: {{ path: {0}/state }}\nmqtt: {{ url: null }}\nwatch: [{{ path: {0}/in }}]\ntasks:\n  \
         - {{ id: door, from: [{{ watch: {0}/in, region: [0.0, 0.1, 0.5, 0.8] }}] }}\n  \
         - {{ id: car, from: [{{ region: [[0.5, 0.2], [0.9, 0.2], [0.7, 0.9]] }}] }}\n",
        desk.root().display()
    );
    desk.put("c.yaml", config.as_bytes());
    let done = desk.good("regions draw garage.jpg --config c.yaml --region 0.8,0.8,1,1");
    assert_eq!((&done["out"], &done["width"], &done["height"]), (&"regions.png".into(), &640.into(), &480.into()));
    let names: Vec<&str> =
        done["regions"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, [&*format!("door ({}/in)", desk.root().display()), "car", "--region 1"]);
    let drawn = image::open(desk.path("regions.png")).unwrap().into_rgb8();
    assert_eq!(drawn.dimensions(), (640, 480));
    // The door's left edge, inside the picture by half of its line.
    assert_eq!(drawn.get_pixel(3, 300).0, [230, 159, 0]);
    let people = desk.run("regions draw garage.jpg --region 0,0,0.5,0.5 --out other.png");
    assert!(
        people.out.contains("other.png (640 x 480)") && people.out.contains("[0.0, 0.0, 0.5, 0.5]"),
        "{}",
        people.out
    );

    desk.fails("regions draw garage.jpg --out none.png", 1, &["no region to draw", "--region"]);
    desk.fails("regions draw garage.jpg --region 0,0,1,0.5 --out garage.jpg", 64, &["garage.jpg", ".png"]);
    desk.put("broken.png", b"no picture");
    desk.fails("regions draw broken.png --region 0,0,1,0.5 --out broken.png", 64, &["is the picture itself"]);
    desk.fails("regions draw broken.png --region 0,0,1,0.5 --out none.png", 1, &["broken.png", "not a JPEG"]);
    desk.fails("regions draw gone.png --region 0,0,1,0.5 --out none.png", 1, &["gone.png does not exist"]);
    assert!(!desk.path("none.png").exists());
}
