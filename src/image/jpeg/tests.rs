use image::{ImageFormat, Rgb as Pixel, RgbImage};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;
use drawn::Drawn;

#[path = "drawn.rs"]
mod drawn;

fn decoded(bytes: &[u8]) -> Result<RgbImage, BadImage> {
    decode(bytes, &Limits::default(), &mut |_, _| 1).map(|(picture, _)| picture)
}

fn reason(bytes: &[u8]) -> String {
    match decoded(bytes) {
        Err(BadImage::Decode { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// A noisy picture as the `image` crate writes it: sequential, with the standard's Huffman tables, in one scan.
fn photograph(width: u32, height: u32) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let picture = RgbImage::from_fn(width, height, |x, y| Pixel([(x * 2) as u8, (y * 3) as u8, rng.random()]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, ImageFormat::Jpeg).unwrap();
    bytes.into_inner()
}

/// `jpeg` without its segments of this marker.
fn without(jpeg: &[u8], marker: u8) -> Vec<u8> {
    let (mut kept, mut at) = (jpeg[..2].to_vec(), 2);
    while jpeg[at + 1] != 0xda {
        let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        if jpeg[at + 1] != marker {
            kept.extend(&jpeg[at..at + length]);
        }
        at += length;
    }
    [&kept, &jpeg[at..]].concat()
}

/// `jpeg` with `byte` at this place of its frame header, counted from the marker's code.
fn with_frame(jpeg: &[u8], place: usize, byte: u8) -> Vec<u8> {
    let mut changed = jpeg.to_vec();
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    changed[frame + 1 + place] = byte;
    changed
}

#[test]
fn components_come_in_any_order_of_scans_and_with_any_sampling() {
    const FACTORS: [[(u8, u8); 3]; 5] = [
        [(1, 1); 3],
        [(2, 1), (1, 1), (1, 1)],
        [(1, 2), (1, 1), (1, 1)],
        [(2, 2), (1, 1), (1, 1)],
        [(1, 1), (2, 2), (2, 2)],
    ];
    const SCANS: [&[&[usize]]; 5] =
        [&[&[0, 1, 2]], &[&[0], &[1], &[2]], &[&[0], &[1, 2]], &[&[1], &[2], &[0]], &[&[1, 2], &[0]]];
    for factors in FACTORS {
        for scans in SCANS {
            for size in [(1, 1), (16, 16), (40, 23)] {
                for is_progressive in [false, true] {
                    let drawn = Drawn { size, factors, scans, is_progressive, ..Drawn::default() };
                    let picture = decoded(&drawn.bytes()).unwrap_or_else(|error| panic!("{drawn:?}: {error}"));
                    assert_eq!(picture.dimensions(), size, "{drawn:?}");
                    let worst = picture.pixels().flat_map(|pixel| {
                        pixel.0.into_iter().zip(Drawn::COLOUR).map(|(found, wanted)| found.abs_diff(wanted))
                    });
                    assert!(worst.max() <= Some(1), "{drawn:?}: {:?}", picture.get_pixel(0, 0));
                }
            }
        }
    }
}

#[test]
fn a_picture_whose_scans_do_not_bring_everything_is_refused() {
    let drawn = Drawn { scans: &[&[0], &[1]], ..Drawn::default() };
    assert_eq!(reason(&drawn.bytes()), Damage::ScanMissing.to_string(), "no red-difference");
    let progressive = Drawn { is_progressive: true, ..Drawn::default() };
    assert!(decoded(&progressive.bytes()).is_ok());
    let coarse = Drawn { has_details: false, ..progressive };
    assert_eq!(reason(&coarse.bytes()), Damage::ScanMissing.to_string(), "only means of blocks");
}

#[test]
fn without_huffman_tables_those_of_the_standard_hold() {
    let whole = photograph(48, 32);
    let frame_of_a_webcam = without(&without(&whole, 0xc4), 0xe0);
    assert!(frame_of_a_webcam.len() < whole.len() - 400, "tables were taken out");
    assert_eq!(decoded(&frame_of_a_webcam), decoded(&whole));
}

#[test]
fn a_part_that_is_closed_by_an_end_marker_is_no_picture() {
    for whole in [photograph(48, 32), Drawn { is_progressive: true, ..Drawn::default() }.bytes()] {
        let right = decoded(&whole).unwrap();
        for length in 2..whole.len() {
            // The last bits of a scan are padding, so a part may show all of the picture.
            let part = [&whole[..length], b"\xff\xd9"].concat();
            if let Ok(picture) = decoded(&part) {
                assert!(picture == right, "{length} of {} bytes show something else", whole.len());
            }
        }
        let half = [&whole[..whole.len() / 2], b"\xff\xd9"].concat();
        assert!(decoded(&half).is_err());
    }
}

#[test]
fn a_picture_without_its_end_marker_alone_is_told_from_a_truncated_one() {
    let whole = photograph(48, 32);
    let length = whole.len();
    for missing in [1, 2] {
        assert_eq!(decoded(&whole[..length - missing]), Err(BadImage::Unended { bytes: length - missing }));
    }
    let truncated = BadImage::Truncated { format: "JPEG", bytes: length - 40 };
    assert_eq!(decoded(&whole[..length - 40]), Err(truncated));
    let error = decoded(&whole[..length - 2]).unwrap_err();
    assert!(error.is_incomplete() && error.to_string().contains("save it again"), "{error}");
}

#[test]
fn zeros_in_place_of_data_are_damage_and_a_few_bytes_too_many_are_none() {
    let whole = photograph(160, 120);
    let (start, end) = (whole.len() / 2, whole.len() - 2);
    for hole in [start..end, start..start + 512] {
        let mut damaged = whole.clone();
        damaged[hole.clone()].fill(0);
        assert_eq!(reason(&damaged), Damage::Hole.to_string(), "{hole:?}");
    }
    for more in [&b"\0"[..], &[0; 32], &[0x5a; 700]] {
        let longer = [&whole[..end], more, b"\xff\xd9"].concat();
        assert_eq!(decoded(&longer), decoded(&whole), "{} bytes more", more.len());
    }
    assert_eq!(reason(&[&whole[..end], &[0; 600][..], b"\xff\xd9"].concat()), Damage::Hole.to_string());
    // Zeros are what a flat picture is made of, where the shortest codes mean "no change" and "end of block".
    let flat = Drawn { size: (2000, 1000), has_flat_codes: true, ..Drawn::default() };
    assert!(Structure::read(&flat.bytes()).has_zeros);
    assert!(decoded(&flat.bytes()).is_ok());
}

#[test]
fn a_kind_that_is_not_decoded_is_named() {
    let whole = photograph(16, 16);
    for (place, byte, words) in [
        (0, 0xc9, "arithmetic coding"),
        (0, 0xc3, "lossless or hierarchical coding, frame 0xc3"),
        (3, 12, "12 bits a sample"),
        (7, 0, "no columns, rows or components"),
    ] {
        let changed =
            if place == 7 { with_frame(&with_frame(&whole, 6, 0), 7, 0) } else { with_frame(&whole, place, byte) };
        let reason = reason(&changed);
        assert!(reason.contains(words), "{words}: {reason}");
    }
    let thirds = Drawn { factors: [(3, 1), (2, 1), (1, 1)], ..Drawn::default() };
    assert_eq!(reason(&thirds.bytes()), "unusual sampling factors");
    let scan = [&[0xff, 0xda, 0, 12, 3, 1, 0, 2, 0x11, 3, 0x11, 0, 63, 0][..]; SCANS_MAX].concat();
    let at = whole.windows(2).position(|pair| pair == [0xff, 0xda]).unwrap();
    assert!(reason(&[&whole[..at], &scan, &whole[at..]].concat()).contains("501 scans"));
}

#[test]
fn restart_markers_that_are_lost_are_damage() {
    let drawn = Drawn { size: (64, 64), restart_interval: 2, ..Drawn::default() };
    let whole = drawn.bytes();
    assert!(decoded(&whole).is_ok());
    let first = whole.windows(2).position(|pair| pair == [0xff, 0xd0]).unwrap();
    let second = whole.windows(2).position(|pair| pair == [0xff, 0xd1]).unwrap();
    let lost = [&whole[..first], &whole[second..]].concat();
    assert!(reason(&lost).contains("in place of restart 0"), "{}", reason(&lost));
}
