use image::{DynamicImage, ImageFormat, Rgb as Pixel, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const FORMATS: [ImageFormat; 4] = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp];

fn picture(width: u32, height: u32) -> RgbImage {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    RgbImage::from_fn(width, height, |x, y| Pixel([(x * 3) as u8, (y * 5) as u8, rng.random_range(90..110)]))
}

fn file(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn decoded(bytes: &[u8]) -> Result<Rgb, BadImage> {
    decode(bytes, &Limits::default())
}

/// `jpeg` with an EXIF segment that holds nothing but this orientation.
fn oriented(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"\xff\xe1\x00\x22Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    [&jpeg[..2], &exif, &jpeg[2..]].concat()
}

#[test]
fn all_four_formats_are_recognised_by_content() {
    let image = picture(40, 30);
    for (format, ending) in FORMATS.into_iter().zip(["jpg", "png", "webp", "bmp"]) {
        let bytes = file(image.clone(), format);
        assert_eq!(ending_of(&bytes), Some(ending));
        let rgb = decoded(&bytes).unwrap();
        assert_eq!((rgb.width(), rgb.height()), (40, 30), "{format:?}");
        let worst = rgb.pixels().iter().zip(image.as_raw()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
        assert!(worst <= if format == ImageFormat::Jpeg { 60 } else { 0 }, "{format:?}: {worst}");
    }
    assert_eq!(ending_of(b"GIF89a"), None);
}

#[test]
fn every_exif_orientation_is_undone() {
    // Stored as a dark left and a light right half, the upper right corner red.
    let stored = RgbImage::from_fn(32, 16, |x, y| match (x < 16, y < 8) {
        (true, _) => Pixel([20; 3]),
        (false, true) => Pixel([250, 20, 20]),
        (false, false) => Pixel([230; 3]),
    });
    let jpeg = file(stored, ImageFormat::Jpeg);
    // Where the red quarter is once upright: EXIF 2.3, tag 0x0112.
    let corners = [(true, false), (false, false), (false, true), (true, true)];
    let turned = [(false, true), (true, true), (true, false), (false, false)];
    for (index, (right, below)) in corners.into_iter().chain(turned).enumerate() {
        let orientation = index as u8 + 1;
        let rgb = decoded(&oriented(&jpeg, orientation)).unwrap();
        let sides = if orientation < 5 { (32, 16) } else { (16, 32) };
        assert_eq!((rgb.width(), rgb.height()), sides, "orientation {orientation}");
        let at = |right: bool, below: bool| {
            let x = if right { rgb.width() - 4 } else { 3 };
            let y = if below { rgb.height() - 4 } else { 3 };
            &rgb.pixels()[3 * (y * rgb.width() + x) as usize..][..3]
        };
        let red = at(right, below);
        assert!(red[0] > 180 && red[1] < 90, "orientation {orientation}: {red:?}");
    }
}

#[test]
fn grey_deep_and_transparent_pictures_become_rgb() {
    let grey = image::GrayImage::from_pixel(3, 2, image::Luma([77]));
    assert_eq!(decoded(&file(grey, ImageFormat::Png)).unwrap().pixels(), [77; 18]);
    let deep = image::ImageBuffer::from_pixel(2, 1, Pixel([65535u16, 0, 32896]));
    assert_eq!(decoded(&file(deep, ImageFormat::Png)).unwrap().pixels(), [255, 0, 128, 255, 0, 128]);
    let clear = image::RgbaImage::from_fn(3, 1, |x, _| image::Rgba([200, 100, 50, [0, 128, 255][x as usize]]));
    assert_eq!(decoded(&file(clear, ImageFormat::Png)).unwrap().pixels(), [0, 0, 0, 100, 50, 25, 200, 100, 50]);
}

#[test]
fn a_file_cut_anywhere_is_incomplete() {
    for format in FORMATS {
        for image in [picture(64, 48), picture(3, 2)] {
            let whole = file(image, format);
            for percent in 1..100 {
                let cut = &whole[..whole.len() * percent / 100];
                let error = decoded(cut).expect_err("a part");
                assert!(error.is_incomplete(), "{format:?} at {percent} %: {error}");
            }
            let almost = decoded(&whole[..whole.len() - 1]).expect_err("a part");
            assert!(almost.is_incomplete(), "{format:?} without its last byte: {almost}");
        }
    }
    assert_eq!(decoded(b""), Err(BadImage::Empty));
    assert!(BadImage::Empty.is_incomplete());
}

#[test]
fn a_jpeg_with_a_thumbnail_is_cut_as_surely() {
    // A thumbnail brings an end marker of its own, inside a segment.
    let jpeg = file(picture(64, 48), ImageFormat::Jpeg);
    let note = file(picture(8, 8), ImageFormat::Jpeg);
    let length = (note.len() as u16 + 2).to_be_bytes();
    let whole = [&jpeg[..2], &[0xff, 0xe2], &length, &note, &jpeg[2..]].concat();
    assert!(decoded(&whole).is_ok());
    for percent in 1..100 {
        let error = decoded(&whole[..whole.len() * percent / 100]).expect_err("a part");
        assert!(error.is_incomplete(), "{percent} %: {error}");
    }
}

#[test]
fn rubbish_behind_the_end_does_no_harm() {
    for format in FORMATS {
        let mut bytes = file(picture(40, 30), format);
        let clean = decoded(&bytes).unwrap();
        bytes.extend(b"thumbnail, maker's note, zeros\0\0\0\xff\xd8\xff");
        assert_eq!(decoded(&bytes), Ok(clean), "{format:?}");
    }
}

#[test]
fn the_reason_of_a_damaged_file_is_one_line() {
    // A comment and a restart marker, no picture: the decoder's own words for that have a line break.
    let bad = decoded(b"\xff\xd8\xff\xfe\0\x04ab\xff\xd5\xff\xd9").unwrap_err();
    assert!(matches!(bad, BadImage::Decode { .. }) && !bad.to_string().contains('\n'), "{bad}");
}

#[test]
fn limits_hold_before_anything_is_allocated() {
    let png = file(picture(4, 4), ImageFormat::Png);
    let mut huge = png.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50]);
    let checksum = crc32(&huge[12..29]).to_be_bytes();
    huge[29..33].copy_from_slice(&checksum);
    let wanted = BadImage::TooLargePicture { width: 50_000, height: 50_000, limit: 64_000_000 };
    assert_eq!(decoded(&huge), Err(wanted));
    let mut jpeg = file(picture(4, 4), ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    jpeg[frame + 5..frame + 9].copy_from_slice(&[0xc3, 0x50, 0xc3, 0x50]);
    assert!(matches!(decoded(&jpeg), Err(BadImage::TooLargePicture { width: 50_000, .. })));
    let limits = Limits { bytes: png.len() - 1, ..Limits::default() };
    assert_eq!(decode(&png, &limits), Err(BadImage::TooLargeFile { bytes: png.len(), limit: png.len() - 1 }));
    assert!(decode(&png, &Limits { bytes: png.len(), pixels: 16 }).is_ok());
    assert!(matches!(decode(&png, &Limits { bytes: png.len(), pixels: 15 }), Err(BadImage::TooLargePicture { .. })));
}

/// The checksum of PNG chunks (ISO 3309), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

#[test]
fn what_is_no_image_is_refused_for_good() {
    for bytes in [&b"hello world, I am a text"[..], b"%PDF-1.7 and so on", b"GIF89a\x01\0\x01\0\0\0\0", &[0; 4096]] {
        let error = decoded(bytes).unwrap_err();
        assert!(!error.is_incomplete() && error.to_string().contains("not a JPEG, PNG, WebP or BMP"), "{error}");
    }
    // Complete by its structure, damaged inside.
    let mut png = file(picture(4, 4), ImageFormat::Png);
    png[45] ^= 0xff;
    let error = decoded(&png).unwrap_err();
    assert!(matches!(error, BadImage::Decode { format: "PNG", .. }) && !error.is_incomplete(), "{error}");
}

#[test]
fn two_thousand_mutations_of_each_format_never_panic() {
    let limits = Limits { pixels: 1_000_000, ..Limits::default() };
    for format in FORMATS {
        let whole = file(picture(24, 16), format);
        for seed in 0..2_000 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..8) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            if rng.random_bool(0.2) {
                bytes.truncate(rng.random_range(0..=bytes.len()));
            }
            // `decode` turns a decoder's panic into this error, which would hide it here.
            if let Err(BadImage::Decode { reason, .. }) = decode(&bytes, &limits) {
                assert!(!reason.contains("panicked"), "{format:?}, seed {seed}");
            }
        }
    }
}

#[test]
fn a_webp_file_whose_pixels_go_on_behind_its_end_is_not_whole() {
    let mut bytes = file(picture(16, 16), ImageFormat::WebP);
    assert_eq!(&bytes[8..15], b"WEBPVP8");
    // Its chunk of pixels is a hundred bytes longer than the header of the file has it.
    let length = u32::from_le_bytes(bytes[16..20].try_into().unwrap());
    bytes[16..20].copy_from_slice(&(length + 100).to_le_bytes());
    let shown = decoded(&[bytes.clone(), vec![0xa2; 100]].concat());
    bytes.extend([0xa2; 50]);
    let error = decoded(&bytes).unwrap_err();
    assert!(error.is_incomplete(), "{error}");
    assert!(!shown.is_err_and(|error| error.is_incomplete()), "with its hundred bytes it is whole");
}

/// A BMP with a header of 124 bytes (version 5) and masks, one row of `pixels` as they lie in the file.
fn bmp(width: u32, bits: u16, masks: [u32; 4], pixels: &[u8]) -> Vec<u8> {
    let mut header = [0; 124];
    header[..4].copy_from_slice(&124u32.to_le_bytes());
    header[4..8].copy_from_slice(&width.to_le_bytes());
    header[8..12].copy_from_slice(&1u32.to_le_bytes());
    header[12..14].copy_from_slice(&1u16.to_le_bytes());
    header[14..16].copy_from_slice(&bits.to_le_bytes());
    header[16..20].copy_from_slice(&3u32.to_le_bytes());
    for (place, mask) in header[40..56].chunks_exact_mut(4).zip(masks) {
        place.copy_from_slice(&mask.to_le_bytes());
    }
    let size = (14 + 124 + pixels.len() as u32).to_le_bytes();
    [b"BM", &size[..], &[0; 4], &138u32.to_le_bytes(), &header, pixels].concat()
}

#[test]
fn alpha_that_is_zero_throughout_a_bmp_is_none() {
    let deep = |alphas: [u8; 2]| {
        let masks = [0xff_0000, 0xff00, 0xff, 0xff00_0000];
        decoded(&bmp(2, 32, masks, &[50, 100, 200, alphas[0], 30, 20, 10, alphas[1]])).unwrap().pixels().to_vec()
    };
    assert_eq!(deep([0, 0]), [200, 100, 50, 10, 20, 30], "nobody wrote any");
    assert_eq!(deep([255, 255]), [200, 100, 50, 10, 20, 30]);
    assert_eq!(deep([255, 0]), [200, 100, 50, 0, 0, 0], "the second is transparent");
    let flat = |pixels: [u16; 2]| {
        let pixels: Vec<u8> = pixels.iter().flat_map(|pixel| pixel.to_le_bytes()).collect();
        decoded(&bmp(2, 16, [0x7c00, 0x3e0, 0x1f, 0x8000], &pixels)).unwrap().pixels().to_vec()
    };
    assert_eq!(flat([0x7c00, 0x001f]), [255, 0, 0, 0, 0, 255]);
    assert_eq!(flat([0xfc00, 0x001f]), [255, 0, 0, 0, 0, 0], "the second is transparent");
}

#[test]
fn transparent_pngs_and_webps_stay_what_their_files_say() {
    let clear = image::RgbaImage::from_pixel(3, 2, image::Rgba([200, 100, 50, 0]));
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        assert_eq!(decoded(&file(clear.clone(), format)).unwrap().pixels(), [0; 18], "{format:?}");
    }
}
