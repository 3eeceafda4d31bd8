//! Statistics files of a fleet: what is written is read back or refused; whatever is read can be merged, taken back and made into heads
//! without a panic.
//!
//! An input is a file as it comes (first byte even), or embeddings of which one is made (odd), with a few bytes of it changed.
#![no_main]

use edgetuned::fleet::{Aliases, Candidate, Merge, Source, Statistics};
use edgetuned::head::BackboneRef;
use edgetuned::words::{Digest, Label, Region, TaskId};
use edgetuned_fuzz::{fits_on_a_screen, space};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use ndarray::Array2;

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    if kind % 2 == 0 {
        return read(rest);
    }
    let mut values = Unstructured::new(rest);
    let Ok(made) = made(&mut values) else { return };
    let mut bytes = made.to_bytes();
    read(&bytes);
    while let (Ok(at), Ok(byte)) = (values.arbitrary::<u16>(), values.arbitrary::<u8>()) {
        let length = bytes.len();
        bytes[usize::from(at) % length] = byte;
        if values.is_empty() {
            break;
        }
    }
    read(&bytes);
});

fn read(bytes: &[u8]) {
    let statistics = match Statistics::from_bytes(bytes) {
        Ok(statistics) => statistics,
        Err(bad) => return fits_on_a_screen(&bad.to_string()),
    };
    let again =
        Statistics::from_bytes(&statistics.to_bytes()).unwrap_or_else(|bad| panic!("written, it is refused: {bad}"));
    assert_eq!(again, statistics);
    let mut merge = Merge::new(Aliases::default());
    merge.add("one", &statistics).expect("the first one fits");
    merge.add("two", &statistics).expect("the same fits");
    let merged = merge.finish().expect("two devices");
    let doubled = statistics.counts().map(|(_, count)| 2 * count);
    assert!(merged.statistics.counts().map(|(_, count)| count).eq(doubled));
    let _ = merged.without(&statistics, &Aliases::default()).expect("one of two is left");
    for candidate in [Candidate::Lda, Candidate::Ridge { lambda: 1.0 }] {
        let _ = candidate.head(&merged.statistics, 0);
    }
}

/// Statistics of a few embeddings of three values, whatever these are.
fn made(values: &mut Unstructured<'_>) -> Result<Statistics> {
    let space = space(3);
    let backbone = BackboneRef { name: "drawn".into(), sha256: Digest::of(b"model"), dim: space.dim };
    let source = Source { task: TaskId::default(), backbone, space, region: Region::WHOLE, projection: None };
    let n = usize::from(values.int_in_range(2_u8..=12)?);
    let labels: Vec<Label> = (0..n).map(|i| Label::new(["gear", "nut"][i % 2]).expect("a label")).collect();
    let mut x = Array2::zeros((n, space.dim));
    for value in &mut x {
        *value = values.arbitrary::<f32>()?;
    }
    Ok(Statistics::gather(source, x.view(), &labels, None, 1).expect("a class has one"))
}
