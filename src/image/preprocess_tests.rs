use super::*;

fn settings(size: (u32, u32), resize: Resize) -> Preprocess {
    let (layout, channels) = (Layout::Nhwc, Channels::Rgb);
    Preprocess { size, layout, channels, mean: [0.0; 3], std: [1.0; 3], scale: [1.0; 3], resize }
}

/// x and y are in red and green, both in steps of one.
fn ramp(width: u32, height: u32) -> Rgb {
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [x as u8, y as u8, 7])).collect();
    Rgb::new(width, height, pixels).unwrap()
}

#[test]
fn pixels_are_scaled_shifted_and_divided_in_channel_order() {
    let pixel = Rgb::new(1, 1, vec![10, 20, 40]).unwrap();
    let mut preprocess = settings((1, 1), Resize::Stretch);
    (preprocess.scale, preprocess.mean, preprocess.std) = ([1.0, 1.0, 0.5], [1.0, 2.0, 3.0], [1.0, 2.0, 4.0]);
    assert_eq!(preprocess.apply(&pixel), [9.0, 9.0, 4.25]);
    preprocess.channels = Channels::Bgr;
    assert_eq!(preprocess.apply(&pixel), [39.0, 9.0, 0.5]);
}

#[test]
fn both_layouts_hold_the_same_numbers() {
    let image = ramp(5, 4);
    let mut preprocess = settings((4, 5), Resize::Stretch);
    let nhwc = preprocess.apply(&image);
    preprocess.layout = Layout::Nchw;
    let nchw = preprocess.apply(&image);
    for (place, pixel) in nhwc.chunks_exact(3).enumerate() {
        assert_eq!(pixel, [nchw[place], nchw[20 + place], nchw[40 + place]]);
    }
}

#[test]
fn a_crop_of_the_right_scale_is_the_exact_middle() {
    // Shorter side 8 = round(7 / 0.875), so nothing is resized; offsets floor((12 - 7) / 2) = 2 and floor(1 / 2) = 0.
    let tensor = settings((7, 7), Resize::Crop { ratio: 0.875 }).apply(&ramp(12, 8));
    let wanted = ramp(12, 8);
    for y in 0..7 {
        for x in 0..7 {
            let pixel = &wanted.pixels()[3 * (y * 12 + x + 2)..][..2];
            let found = &tensor[3 * (y * 7 + x)..][..2];
            assert_eq!(found, [f32::from(pixel[0]), f32::from(pixel[1])], "at {x}, {y}");
        }
    }
}

#[test]
fn crop_shows_what_the_formula_says() {
    // 500 x 313 for S = 224: 256 / 313 of 500 is 408.9 -> 409 columns; offsets floor(92.5) = 92 and 16.
    let image = Rgb::new(500, 313, vec![0; 500 * 313 * 3]).unwrap();
    let found = crop_box(&image, (224, 224), 0.875);
    let wanted = [92.0 * 500.0 / 409.0, 16.0 * 313.0 / 256.0, 224.0 * 500.0 / 409.0, 224.0 * 313.0 / 256.0];
    assert!(found.iter().zip(wanted).all(|(found, wanted)| (found - wanted).abs() < 1e-9), "{found:?}");
}

#[test]
fn reduction_averages_like_pillow() {
    // Pillow 13.0: Image.fromarray(np.arange(8, dtype=np.uint8)[None] ** 2).resize((3, 1), Image.BILINEAR), grey.
    let pixels = (0..8u8).flat_map(|x| [x * x; 3]).collect();
    let found = settings((1, 3), Resize::Stretch).apply(&Rgb::new(8, 1, pixels).unwrap());
    let red: Vec<_> = found.iter().step_by(3).copied().collect();
    assert_eq!(red, [2.0, 13.0, 36.0]);
}

#[test]
fn letterbox_pads_evenly_and_keeps_proportions() {
    let tensor = settings((4, 4), Resize::Letterbox { pad: 114 }).apply(&Rgb::new(8, 4, vec![200; 96]).unwrap());
    let rows: Vec<_> = tensor.chunks_exact(12).map(|row| row[0]).collect();
    assert_eq!(rows, [114.0, 200.0, 200.0, 114.0]);
}

#[test]
fn no_shape_of_picture_breaks_a_resize() {
    for (width, height) in [(1, 1), (1, 4000), (4000, 1), (3, 2), (640, 427), (227, 227), (999, 1000), (65, 8191)] {
        let image = Rgb::new(width, height, vec![90; (width * height * 3) as usize]).unwrap();
        for resize in [Resize::Stretch, Resize::Crop { ratio: 0.875 }, Resize::Crop { ratio: 1.0 }] {
            for size in [(1, 1), (227, 227), (96, 64), (31, 97)] {
                let tensor = settings(size, resize).apply(&image);
                assert!(
                    tensor.iter().all(|&value| (value - 90.0).abs() < 1e-6),
                    "{width} x {height} to {size:?} by {resize:?}"
                );
            }
        }
        assert_eq!(settings((31, 97), Resize::Letterbox { pad: 90 }).apply(&image), vec![90.0; 31 * 97 * 3]);
    }
}

#[test]
fn the_digest_stays_and_tells_every_setting_apart() {
    let base = settings((224, 224), Resize::Crop { ratio: 0.875 });
    // SHA-256 of the canonical text, by sha256sum: embeddings stored by older versions must stay readable.
    assert_eq!(base.digest().to_string(), GOLDEN);
    let changed: [fn(&mut Preprocess); 10] = [
        |p| p.size = (224, 225),
        |p| p.layout = Layout::Nchw,
        |p| p.channels = Channels::Bgr,
        |p| p.mean[0] = 1.0,
        |p| p.std[1] = 2.0,
        |p| p.scale[2] = 0.5,
        |p| p.resize = Resize::Stretch,
        |p| p.resize = Resize::Crop { ratio: 0.9 },
        |p| p.resize = Resize::Letterbox { pad: 0 },
        |p| p.resize = Resize::Letterbox { pad: 114 },
    ];
    let mut seen = std::collections::HashSet::from([base.digest()]);
    for (place, change) in changed.iter().enumerate() {
        let mut other = base.clone();
        change(&mut other);
        assert!(seen.insert(other.digest()), "change {place}");
    }
}

const GOLDEN: &str = "0495b9f69ba8c0a4d2a23745054f130173b1420451d47ccbaca8cf9ea1453029";
