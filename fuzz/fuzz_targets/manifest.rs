//! The manifest of a backbone: text becomes settings that are read back equal from what they are written as, or a
//! reason that fits on a screen.
#![no_main]

use std::path::Path;

use edgetuned::backbone::Manifest;
use edgetuned_fuzz::fits_on_a_screen;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let path = Path::new("models/net.yaml");
    match Manifest::parse(text, path) {
        Ok(manifest) => {
            let written = manifest.text();
            let again = Manifest::parse(&written, path).unwrap_or_else(|bad| panic!("{bad}\n{written}"));
            assert_eq!(again, manifest, "{written}");
            assert_eq!(again.space(), manifest.space(), "{written}");
            let (height, width) = manifest.preprocess.size;
            assert!((1..=4096).contains(&height) && (1..=4096).contains(&width), "{written}");
            assert!((1..=65_536).contains(&manifest.embedding.dim), "{written}");
        }
        Err(bad) => fits_on_a_screen(&bad.to_string()),
    }
});
