//! How a path names an image.

use axum::http::Uri;

use crate::ports::ImageName;
use crate::words::ShortId;

/// The image at the end of a path, as it came: exactly 64 or 16 lower-case hexadecimal digits, of which none is escaped.
pub(super) fn image_name(uri: &Uri) -> Option<ImageName> {
    let (_, digits) = uri.path().rsplit_once('/')?;
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    match digits.len() {
        _ if !digits.bytes().all(is_digit) => None,
        64 => digits.parse().ok().map(ImageName::Whole),
        16 => u64::from_str_radix(digits, 16).ok().map(|start| ImageName::Start(ShortId(start.to_be_bytes()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_named_by_64_or_16_digits_and_nothing_else() {
        let digits = "0123456789abcdef".repeat(4);
        let of = |name: &str| image_name(&format!("/api/v1/images/{name}").parse().unwrap());
        assert_eq!(of(&digits), Some(ImageName::Whole(digits.parse().unwrap())));
        assert_eq!(
            of(&digits[..16]),
            Some(ImageName::Start(ShortId([0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef])))
        );
        let (short, long, upper) = (&digits[1..], format!("{digits}0"), digits.to_uppercase());
        for name in ["", "..", "%2e%2e%2f", "%5c", "%00", "%2fetc%2fpasswd", "%ff", short, &long, &upper] {
            assert_eq!(of(name), None, "{name}");
        }
        for name in [&digits[..15], &digits[..17], &digits[..8], &upper[..16], "+123456789abcdef"] {
            assert_eq!(of(name), None, "{name}");
        }
        assert_eq!(of(&digits.replace('0', "%30")), None);
    }
}
