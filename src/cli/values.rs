//! Parses the values of options.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use crate::backbone::{Inner, NORMALIZATIONS, Normalization, Stat};
use crate::words::Keyword;

/// One of the words of `T`; `--help` lists them all.
pub fn keyword<T: Keyword>() -> impl TypedValueParser<Value = T> {
    let listed = |value: &T| PossibleValue::new(value.as_str()).help(value.about().trim_end_matches('.'));
    PossibleValuesParser::new(T::ALL.iter().map(listed))
        .map(|word| T::from_word(&word).expect("the parser takes the listed words only"))
}

/// A number above 0.
pub fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a number above 0".into()),
    }
}

/// `224`, or `192x256`: height and width.
pub fn size(text: &str) -> Result<(u32, u32), String> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    let side = |text: &str| text.trim().parse().ok().filter(|side| (1..=4096).contains(side));
    side(height)
        .zip(side(width))
        .ok_or_else(|| "expected a side, or height x width, of 1 to 4096: 224 or 192x256".into())
}

/// One number for all channels, or one for each.
pub fn per_channel(text: &str) -> Result<[f32; 3], String> {
    let numbers: Option<Vec<f32>> =
        text.split(',').map(|number| number.trim().parse().ok().filter(|number: &f32| number.is_finite())).collect();
    match numbers.as_deref() {
        Some(&[all]) => Ok([all; 3]),
        Some(&[first, second, third]) => Ok([first, second, third]),
        _ => Err("expected one number, or three with commas between: 127.5 or 123.675,116.28,103.53".into()),
    }
}

/// The same without 0.
pub fn divisor(text: &str) -> Result<[f32; 3], String> {
    match per_channel(text)? {
        numbers if numbers.contains(&0.0) => Err("expected numbers that are not 0, pixels are divided by them".into()),
        numbers => Ok(numbers),
    }
}

/// A crop ratio that manifests allow.
pub fn ratio(text: &str) -> Result<f32, String> {
    let number = text.parse().ok().filter(|ratio| (0.05..=1.0).contains(ratio));
    number.ok_or_else(|| "expected a number from 0.05 to 1".into())
}

/// An inner tensor with the values that are wanted of it, both where none are named; names may hold a colon themselves.
pub fn inner(text: &str) -> Result<Inner, String> {
    let stats = |words: &str| words.split(',').map(|word| Stat::from_word(word.trim())).collect::<Option<Vec<_>>>();
    let split = text.rsplit_once(':').and_then(|(tensor, words)| Some((tensor, stats(words)?)));
    let (tensor, stat) = split.unwrap_or((text, Stat::ALL.to_vec()));
    if tensor.trim().is_empty() {
        return Err("expected the name of a tensor: block13, or block13:mean for its means alone".into());
    }
    Ok(Inner { tensor: tensor.to_owned(), stat, channels: None })
}

/// A known normalisation.
pub fn normalization(text: &str) -> Result<Normalization, String> {
    let names = || NORMALIZATIONS.map(|known| known.name).join(", ");
    Normalization::named(text).ok_or_else(|| format!("expected one of {}", names()))
}

/// The known normalisations with their numbers, one a line.
pub fn normalizations() -> String {
    let line = |known: &Normalization| {
        format!("  {:9} mean {}, std {} ({})", known.name, listed(known.mean), listed(known.std), known.about)
    };
    let lines: Vec<String> = NORMALIZATIONS.iter().map(line).collect();
    format!("Name of a known normalisation of pixels; the model's publisher says which:\n{}", lines.join("\n"))
}

/// `[127.5; 3]` as `127.5`, three numbers with commas between.
pub fn listed(values: [f32; 3]) -> String {
    let [first, second, third] = values.map(|value| value.to_string());
    if first == second && second == third { first } else { format!("{first},{second},{third}") }
}

/// A path that `--backbone` takes for a manifest's.
pub fn manifest(text: &str) -> Result<PathBuf, String> {
    let path = Path::new(text);
    let named = path.extension().is_some_and(|ending| ending == "yaml" || ending == "yml");
    if named { Ok(path.to_owned()) } else { Err("expected a path that ends in .yaml".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_channels_are_one_number_or_several() {
        assert_eq!((size("224"), size("192x256")), (Ok((224, 224)), Ok((192, 256))));
        assert_eq!((per_channel("-0.5"), per_channel("1, 2,3")), (Ok([-0.5; 3]), Ok([1.0, 2.0, 3.0])));
        assert_eq!((listed([127.5; 3]), listed([1.0, 2.5, 3.0])), ("127.5".into(), "1,2.5,3".into()));
        for wrong in ["", "0", "4097", "1x", "axb", "-3", "1x2x3"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        for wrong in ["", "1,2", "1,2,3,4", "x", "inf", "nan,1,1"] {
            assert!(per_channel(wrong).is_err(), "{wrong}");
        }
        assert!(divisor("1,0,1").is_err() && ratio("1.1").is_err() && ratio("0.04").is_err());
        assert!(manifest("net.yaml").is_ok() && manifest("net").is_err());
    }

    #[test]
    fn what_is_listed_is_understood() {
        for known in NORMALIZATIONS {
            assert_eq!(normalization(known.name), Ok(known));
            assert_eq!(
                (per_channel(&listed(known.mean)), divisor(&listed(known.std))),
                (Ok(known.mean), Ok(known.std))
            );
            assert!(normalizations().contains(known.name));
        }
        assert!(normalization("imagnet").unwrap_err().contains("imagenet, inception"));
    }
}
