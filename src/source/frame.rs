//! From a payload to a picture's bytes: raw, base64, or a data URI.
//!
//! Cameras and programs send all three: Frigate and most firmware the bytes as they are, Home Assistant base64 where it is
//! told so, web pages data URIs. What a payload is shows by its first bytes, so nothing has to be configured. Whether a
//! picture is whole and can be decoded is the decoder's business ([`crate::image`]).

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding as _};

/// Why a payload is no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// Nothing in it; on a retained topic that clears it.
    #[error("the payload is empty; send the bytes of a JPEG or PNG")]
    Empty,
    /// More bytes than an image may have.
    #[error("the picture has {bytes} bytes, at most {limit} are read; send it smaller")]
    TooLarge {
        /// Of the payload, or of the picture in it.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Neither the bytes of a picture nor base64 of them.
    #[error(
        "the payload is not a JPEG, PNG, WebP or BMP, and no base64 of one: it begins with {begins}; send the file's \
         bytes, or base64 of them"
    )]
    NotAPicture {
        /// Its first bytes in hexadecimal digits.
        begins: String,
    },
    /// A data URI without base64.
    #[error("the data URI begins with {begins:?}; expected data:image/jpeg;base64, or data:image/png;base64,")]
    DataUri {
        /// What stands before its comma, cut.
        begins: String,
    },
}

/// The picture in `payload`, of at most `limit` bytes.
///
/// White space around and within base64 is passed over, its padding may be missing, and both of its alphabets are read.
///
/// # Errors
/// [`BadFrame`].
pub fn picture(payload: Vec<u8>, limit: usize) -> Result<Vec<u8>, BadFrame> {
    if payload.is_empty() {
        return Err(BadFrame::Empty);
    }
    let within = |picture: Vec<u8>| match picture.len() {
        bytes if bytes > limit => Err(BadFrame::TooLarge { bytes, limit }),
        _ => Ok(picture),
    };
    if begins_a_picture(&payload) {
        return within(payload);
    }
    // Before any work on it: four digits stand for three bytes, with white space and a header beside them.
    let longest = limit.saturating_mul(3) / 2 + 1024;
    if payload.len() > longest {
        return Err(BadFrame::TooLarge { bytes: payload.len(), limit });
    }
    let begins = hexadecimal(&payload);
    let decoded = decode(text_of(payload)?);
    match decoded {
        Some(picture) if begins_a_picture(&picture) => within(picture),
        _ => Err(BadFrame::NotAPicture { begins }),
    }
}

/// Whether these are the first bytes of a kind of picture that is read.
fn begins_a_picture(bytes: &[u8]) -> bool {
    let is_webp = || bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP");
    bytes.starts_with(&[0xff, 0xd8, 0xff])
        || bytes.starts_with(b"\x89PNG\r\n\x1a\n")
        || bytes.starts_with(b"BM")
        || is_webp()
}

/// The digits of base64, without what may stand around them.
fn text_of(mut payload: Vec<u8>) -> Result<Vec<u8>, BadFrame> {
    let start = payload.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    if payload[start..].get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:")) {
        let header: Vec<u8> =
            payload[start..].iter().copied().take(HEADER_MAX).take_while(|byte| *byte != b',').collect();
        let is_base64 = header.to_ascii_lowercase().ends_with(b";base64");
        if !is_base64 || payload.get(start + header.len()) != Some(&b',') {
            let begins = String::from_utf8_lossy(&header).chars().take(40).collect();
            return Err(BadFrame::DataUri { begins });
        }
        payload.drain(..=start + header.len());
    }
    payload.retain(|byte| !byte.is_ascii_whitespace());
    while payload.last() == Some(&b'=') {
        payload.pop();
    }
    Ok(payload)
}

/// The longest header of a data URI.
const HEADER_MAX: usize = 256;

/// What these digits stand for; `None` where one of them is none.
fn decode(mut digits: Vec<u8>) -> Option<Vec<u8>> {
    let is_url = digits.iter().any(|digit| matches!(digit, b'-' | b'_'));
    let bytes = if is_url {
        Base64UrlUnpadded::decode_in_place(&mut digits).ok()?.len()
    } else {
        Base64Unpadded::decode_in_place(&mut digits).ok()?.len()
    };
    digits.truncate(bytes);
    digits.shrink_to_fit();
    Some(digits)
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digits: Vec<_> = bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    digits.concat()
}

#[cfg(test)]
mod tests {
    use base64ct::{Base64, Base64Url};
    use rand::{Rng as _, RngExt as _, SeedableRng as _};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const LIMIT: usize = 1 << 20;

    fn jpeg(bytes: usize, seed: u64) -> Vec<u8> {
        let mut picture = vec![0; bytes];
        ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut picture);
        picture[..3].copy_from_slice(&[0xff, 0xd8, 0xff]);
        picture
    }

    #[test]
    fn bytes_base64_and_data_uris_of_any_length_are_the_same_picture() {
        for bytes in [3, 4, 5, 6, 1000, 1001, 1002] {
            let picture = jpeg(bytes, bytes as u64);
            let base64 = Base64::encode_string(&picture);
            let lines = base64.as_bytes().chunks(76).map(|line| String::from_utf8_lossy(line).into_owned() + "\r\n");
            for text in [
                base64.clone(),
                base64.trim_end_matches('=').to_owned(),
                format!("\n {base64}\n"),
                lines.collect(),
                Base64Url::encode_string(&picture),
                format!("data:image/jpeg;base64,{base64}"),
                format!("DATA:image/jpeg;charset=utf-8;BASE64,{base64}"),
            ] {
                assert_eq!(super::picture(text.clone().into_bytes(), LIMIT).as_ref(), Ok(&picture), "{text}");
            }
            assert_eq!(super::picture(picture.clone(), LIMIT), Ok(picture));
        }
    }

    #[test]
    fn every_kind_of_picture_that_files_may_have_passes() {
        for begins in [&b"\x89PNG\r\n\x1a\n...."[..], b"BM....", b"RIFF....WEBP"] {
            assert_eq!(picture(begins.to_vec(), LIMIT), Ok(begins.to_vec()));
        }
    }

    #[test]
    fn what_is_no_picture_is_refused_in_words() {
        for (payload, expected) in [
            (&b""[..], "is empty"),
            (b"<html><body>not found</body></html>", "begins with 3c68746d6c3e3c62; send the file's"),
            (b"   ", "not a JPEG"),
            (b"=", "not a JPEG"),
            (b"aGVsbG8gd29ybGQ=", "not a JPEG"),
            (b"/9j/4A===A", "not a JPEG"),
            (b"data:image/jpeg,%FF%D8", "begins with \"data:image/jpeg\"; expected data:image/jpeg;base64,"),
            (b"data:image/jpeg;base64", "expected data:image/jpeg;base64,"),
            (b"data:image/jpeg;base64,", "not a JPEG"),
            (b"data:image/jpeg;base64,****", "not a JPEG"),
        ] {
            let refused = picture(payload.to_vec(), LIMIT).unwrap_err().to_string();
            assert!(refused.contains(expected), "{refused}");
        }
    }

    #[test]
    fn the_bound_is_that_of_the_picture_and_holds_before_anything_is_decoded() {
        let fits = jpeg(1000, 1);
        assert!(picture(Base64::encode_string(&fits).into_bytes(), 1000).is_ok());
        let over = jpeg(1001, 1);
        for payload in [over.clone(), Base64::encode_string(&over).into_bytes()] {
            let refused = picture(payload, 1000);
            assert_eq!(refused, Err(BadFrame::TooLarge { bytes: 1001, limit: 1000 }));
        }
        assert!(matches!(picture(vec![b'A'; 10_000], 1000), Err(BadFrame::TooLarge { bytes: 10_000, .. })));
    }

    #[test]
    fn no_payload_makes_it_panic() {
        for seed in 0..2_000 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut payload: Vec<u8> = match random.random_range(0..3) {
                0 => b"data:image/png;base64,iVBORw0KGgo".to_vec(),
                1 => Base64::encode_string(&jpeg(40, seed)).into_bytes(),
                _ => (0..random.random_range(0..64)).map(|_| random.random()).collect(),
            };
            for _ in 0..random.random_range(0..4) {
                if !payload.is_empty() {
                    let place = random.random_range(0..payload.len());
                    payload[place] = random.random();
                }
            }
            let limit = random.random_range(1..64);
            if let Ok(picture) = picture(payload, limit) {
                assert!(picture.len() <= limit && begins_a_picture(&picture), "seed {seed}");
            }
        }
    }
}
