//! Pictures in more than five hundred codings, by `cjpeg`, `ImageMagick` and Pillow (`tests/data/make_codings.py`): what is decoded
//! has the pixels of Pillow, whose JPEG decoder is libjpeg-turbo, and of libjpeg-turbo's own program; anything else is
//! refused with its reason. Nothing decodes to other pixels without a word.
#![allow(clippy::unwrap_used, reason = "the helpers of tests are tests")]

use std::fs;
use std::path::Path;
use std::process::Command;

use edgetuned::image::{Limits, Rgb, decode};

#[path = "support/skip.rs"]
mod skip;

/// The first Python that has Pillow.
fn python() -> Option<&'static str> {
    let has_pillow = |python: &&str| runs(Command::new(python).args(["-c", "import PIL"]));
    ["python3", "/usr/bin/python3"].into_iter().find(has_pillow)
}

fn runs(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// The pixels of a PPM file of 8 bits.
fn ppm(bytes: &[u8]) -> Rgb {
    let mut fields = bytes.split(u8::is_ascii_whitespace);
    let header: Vec<&str> = fields.by_ref().take(4).map(|field| std::str::from_utf8(field).unwrap()).collect();
    assert_eq!((header[0], header[3]), ("P6", "255"));
    let length = header.iter().map(|field| field.len() + 1).sum::<usize>();
    Rgb::new(header[1].parse().unwrap(), header[2].parse().unwrap(), bytes[length..].to_vec()).unwrap()
}

/// Mean and largest difference of two pictures of one size.
fn difference(a: &Rgb, b: &Rgb) -> (f64, u8) {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let apart: Vec<u8> = a.pixels().iter().zip(b.pixels()).map(|(a, b)| a.abs_diff(*b)).collect();
    (apart.iter().copied().map(f64::from).sum::<f64>() / apart.len() as f64, apart.into_iter().max().unwrap())
}

/// What differs from the other decoders' pixels, in words; `None` when nothing does.
fn fault(folder: &Path, name: &str, verdict: &str) -> Option<String> {
    let decoded = decode(&fs::read(folder.join(name)).unwrap(), &Limits::default());
    let picture = match (decoded, verdict) {
        (Ok(picture), "shown") => picture,
        (Err(_), "refused") => return None,
        (Ok(_), _) => return Some(format!("{name}: decoded without a word")),
        (Err(error), _) => return Some(format!("{name}: {error}")),
    };
    let (mean, most) = difference(&picture, &ppm(&fs::read(folder.join(format!("{name}.ppm"))).unwrap()));
    if mean >= 1.0 || most > 2 {
        return Some(format!("{name}: {mean:.2} from Pillow's pixels, at most {most}"));
    }
    // It does not turn CMYK into RGB.
    let djpeg = Command::new("djpeg").arg("-rgb").arg(folder.join(name)).output().unwrap();
    if Path::new(name).extension().is_some_and(|ending| ending == "jpg") && djpeg.status.success() {
        let (mean, most) = difference(&picture, &ppm(&djpeg.stdout));
        if mean >= 1.0 || most > 2 {
            return Some(format!("{name}: {mean:.2} from djpeg's pixels, at most {most}"));
        }
    }
    None
}

#[test]
fn every_coding_shows_the_pixels_of_other_decoders_or_is_refused() {
    let Some(python) = python() else { return skip::skip("no python3 with Pillow (python3-pil)") };
    for (program, package) in
        [("cjpeg", "libjpeg-turbo-progs"), ("djpeg", "libjpeg-turbo-progs"), ("convert", "imagemagick")]
    {
        if Command::new(program).arg("-version").output().is_err() {
            return skip::skip(format!("no {program} ({package})"));
        }
    }
    let convert = Command::new("convert").arg("-version").output().unwrap();
    if !String::from_utf8_lossy(&convert.stdout).contains("ImageMagick") {
        return skip::skip("convert is another program than ImageMagick's (imagemagick)");
    }
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/make_codings.py");
    let made = Command::new(python).arg(script).arg(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let table = fs::read_to_string(folder.path().join("codings.tsv")).unwrap();
    let files: Vec<(&str, &str)> = table.lines().map(|line| line.split_once('\t').unwrap()).collect();
    let shown = files.iter().filter(|(_, verdict)| *verdict == "shown").count();
    assert!(shown > 350 && files.len() - shown > 120, "{shown} of {} files are to be shown", files.len());
    let faults: Vec<String> = files.iter().filter_map(|(name, verdict)| fault(folder.path(), name, verdict)).collect();
    println!("{shown} shown, {} refused", files.len() - shown);
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), files.len(), faults.join("\n"));
}
