//! Writes a seeded stream of pictures of machine parts to a folder, as a camera over a sorting line would.
//!
//! ```text
//! cargo run --example camera -- --out pictures --images 200 --by-class
//! cargo run --example camera -- --sheet camera.png
//! ```

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, thread};

use camera::{Camera, Light, Part};
use clap::Parser;
use image::RgbImage;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[allow(dead_code, reason = "shared with the tests, which use other parts of it")]
#[path = "../tests/support/camera/mod.rs"]
mod camera;

#[derive(Parser)]
#[command(about = "Writes a seeded stream of pictures of machine parts")]
struct Arguments {
    /// Folder to write part-000000.jpg, part-000001.jpg, … to
    #[arg(long, required_unless_present = "sheet")]
    out: Option<PathBuf>,
    /// Everything random comes from this
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many pictures
    #[arg(long, default_value_t = 200)]
    images: u64,
    /// Parts to draw, separated by commas
    #[arg(long, value_delimiter = ',', default_values_t = Part::ALL)]
    classes: Vec<Part>,
    /// Width and height in pixels
    #[arg(long, num_args = 2, default_values_t = [320, 240], value_names = ["WIDTH", "HEIGHT"])]
    size: Vec<u32>,
    /// JPEG quality, 1 to 100
    #[arg(long, default_value_t = 88)]
    quality: u8,
    /// A subfolder for each class, as labels
    #[arg(long)]
    by_class: bool,
    /// The light turns to evening at this picture
    #[arg(long, value_name = "N")]
    light_change_at: Option<u64>,
    /// The last of the classes appears only from this picture on
    #[arg(long, value_name = "N", default_value_t = 0)]
    new_class_at: u64,
    /// Pause after each picture in milliseconds
    #[arg(long, default_value_t = 0)]
    pause_ms: u64,
    /// Writes one PNG with six pictures of each class instead
    #[arg(long, value_name = "FILE")]
    sheet: Option<PathBuf>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let camera =
        Camera::new(arguments.seed).with_size(arguments.size[0], arguments.size[1]).with_quality(arguments.quality);
    if let Some(file) = &arguments.sheet {
        sheet(&camera, &arguments.classes).save(file)?;
    }
    match &arguments.out {
        Some(out) => stream(&camera, &arguments, out),
        None => Ok(()),
    }
}

/// Writes the stream; each file appears whole, by renaming.
fn stream(camera: &Camera, arguments: &Arguments, out: &Path) -> Result<(), Box<dyn Error>> {
    let mut rng = ChaCha8Rng::seed_from_u64(arguments.seed);
    for index in 0..arguments.images {
        let known = match arguments.classes.len() {
            several @ 2.. if index < arguments.new_class_at => several - 1,
            all => all,
        };
        let part = arguments.classes[rng.random_range(0..known)];
        let evening = arguments.light_change_at.is_some_and(|at| index >= at);
        let light = if evening { Light::EVENING } else { Light::DAY };
        let folder = if arguments.by_class { out.join(part.name()) } else { out.to_owned() };
        fs::create_dir_all(&folder)?;
        let unfinished = folder.join(format!(".part-{index:06}.jpg"));
        fs::write(&unfinished, camera.jpeg(part, index, &light))?;
        fs::rename(unfinished, folder.join(format!("part-{index:06}.jpg")))?;
        thread::sleep(Duration::from_millis(arguments.pause_ms));
    }
    Ok(())
}

/// A row for each class; the last two columns in evening light.
fn sheet(camera: &Camera, classes: &[Part]) -> RgbImage {
    const COLUMNS: u32 = 6;
    let (width, height) = camera.shot(Part::Nut, 0, &Light::DAY).dimensions();
    let mut sheet = RgbImage::new(width * COLUMNS, height * classes.len() as u32);
    for (row, &part) in (0_u32..).zip(classes) {
        for column in 0..COLUMNS {
            let light = if column < COLUMNS - 2 { Light::DAY } else { Light::EVENING };
            let picture = camera.shot(part, u64::from(column), &light);
            image::imageops::replace(&mut sheet, &picture, i64::from(column * width), i64::from(row * height));
        }
    }
    sheet
}
