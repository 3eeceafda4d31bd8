//! The image door: bytes become an upright picture within the limits and finite numbers, or a reason that fits on a
//! screen.
//!
//! The last eight bytes of an input choose what is done with the file before them.
#![no_main]

use std::cell::Cell;
use std::process::abort;

use edgetuned::image::{Channels, Decode, Layout, Limits, Preprocess, Resize, Rgb, decode};
use edgetuned::words::Region;
use edgetuned_fuzz::fits_on_a_screen;
use libfuzzer_sys::fuzz_target;

/// Small, so that a decoder that spends memory before it looks at the limit meets `-malloc_limit_mb`.
const LIMITS: Limits = Limits { bytes: 1 << 20, pixels: 1 << 14 };

thread_local! {
    /// A panic of a decoder costs the picture only, which is promised; any other one is a finding.
    static DECODES: Cell<bool> = const { Cell::new(false) };
}

fuzz_target!(
    init: {
        let told = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !DECODES.get() {
                told(panic);
                abort();
            }
        }));
    },
    |data: &[u8]| {
        let Some((file, knobs)) = data.split_last_chunk::<8>() else { return };
        let Some(picture) = opened(file) else { return };
        prefix_is_no_other_picture(file, knobs, &picture);
        let way = preprocess(knobs);
        let tensor = match way.decode {
            Decode::Exact => way.apply(&picture),
            Decode::Scaled => way.look(file, &LIMITS, &[Region::WHOLE]).expect("it was opened").tensors,
        };
        assert_eq!(tensor.len(), preprocess(knobs).tensor_len());
        assert!(tensor.iter().all(|value| value.is_finite()), "a number that is none");
    }
);

fn opened(file: &[u8]) -> Option<Rgb> {
    DECODES.set(true);
    let opened = decode(file, &LIMITS);
    DECODES.set(false);
    match opened {
        Ok(picture) => {
            let (width, height) = (u64::from(picture.width()), u64::from(picture.height()));
            assert!((1..=LIMITS.pixels).contains(&(width * height)), "{picture:?}");
            assert_eq!(picture.pixels().len() as u64, 3 * width * height);
            Some(picture)
        }
        Err(bad) => {
            fits_on_a_screen(&bad.to_string());
            None
        }
    }
}

/// What is still being written is refused, or it shows what the whole file shows.
fn prefix_is_no_other_picture(file: &[u8], knobs: &[u8; 8], whole: &Rgb) {
    let length = file.len() * usize::from(knobs[0]) / 256;
    if let Some(prefix) = opened(&file[..length]) {
        assert!(prefix == *whole, "{length} bytes of {} show something else", file.len());
    }
}

/// Some way into a tensor, as a manifest may ask for it.
fn preprocess(knobs: &[u8; 8]) -> Preprocess {
    let [_, height, width, kind, ratio, mean, std, scale] = knobs.map(f32::from);
    Preprocess {
        size: (1 + (height as u32 % 48), 1 + (width as u32 % 48)),
        layout: if kind as u8 & 1 == 0 { Layout::Nchw } else { Layout::Nhwc },
        channels: if kind as u8 & 2 == 0 { Channels::Rgb } else { Channels::Bgr },
        mean: [mean, 104.0, -0.5],
        std: [1.0, 0.25, std + 1.0],
        scale: [1.0, 1.0 / 255.0, scale],
        pad: ratio as u8,
        decode: if kind as u8 & 16 == 0 { Decode::Exact } else { Decode::Scaled },
        resize: match kind as u8 >> 2 & 3 {
            0 => Resize::Stretch,
            1 => Resize::Letterbox,
            _ => Resize::Crop { ratio: 0.05 + 0.95 * ratio / 255.0 },
        },
    }
}
