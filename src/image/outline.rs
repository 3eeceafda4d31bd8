//! A picture with regions drawn on it, for people.

use font8x8::UnicodeFonts as _;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder as _};

use super::Rgb;
use super::preprocess::resample;
use crate::words::Region;

/// What is drawn of a region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outline {
    /// Which task it is of, from 0: outlines of one task have one colour.
    pub task: usize,
    /// What stands beside it.
    pub name: String,
    /// What is looked at.
    pub region: Region,
}

/// Least and greatest length of a drawing's longer side, in pixels.
const SIDE: [u32; 2] = [640, 1600];
/// Told apart by most people who see few colours, on dark and on bright pictures with the black line around them: the
/// palette of Okabe and Ito without black, and white.
const COLOURS: [[u8; 3]; 8] = [
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [213, 94, 0],
    [204, 121, 167],
    [0, 114, 178],
    [255, 255, 255],
];
/// Height and width of a character before it is enlarged.
const GLYPH: i64 = 8;

/// `image` with `outlines` on it, the name of each beside it, and what none of them has in grey and darker; the longer
/// side is brought to 640 to 1,600 pixels first.
#[must_use]
pub fn outlined(image: &Rgb, outlines: &[Outline]) -> Rgb {
    let mut canvas = Canvas::of(image);
    canvas.dim(outlines);
    for outline in outlines {
        canvas.draw(outline);
    }
    let mut taken = Vec::new();
    for outline in outlines {
        canvas.label(outline, &mut taken);
    }
    Rgb::new(canvas.width, canvas.height, canvas.pixels).unwrap_or_else(|| image.clone())
}

struct Canvas {
    width: u32,
    height: u32,
    pixels: Vec<u8>,
    /// Pixels of a line, and of a dot of a character.
    line: i64,
}

impl Canvas {
    /// A picture of the size that is drawn on: reduced with the filter of preprocessing, or each pixel as a square.
    fn of(image: &Rgb) -> Self {
        let (from_w, from_h) = (image.width(), image.height());
        let longer = from_w.max(from_h);
        let (width, height, pixels) = if longer > SIDE[1] {
            let scaled = |side: u32| (u64::from(side) * u64::from(SIDE[1]) / u64::from(longer)).max(1) as u32;
            let (width, height) = (scaled(from_w), scaled(from_h));
            (width, height, resample(image, [0.0, 0.0, f64::from(from_w), f64::from(from_h)], width, height))
        } else {
            let by = SIDE[0].div_ceil(longer);
            let rows = image.pixels().chunks_exact(3 * from_w as usize);
            let wide =
                |row: &[u8]| row.chunks_exact(3).flat_map(|pixel| pixel.repeat(by as usize)).collect::<Vec<u8>>();
            (from_w * by, from_h * by, rows.flat_map(|row| wide(row).repeat(by as usize)).collect())
        };
        Self { width, height, pixels, line: i64::from(width.max(height) / 500).max(2) }
    }

    fn set(&mut self, x: i64, y: i64, colour: [u8; 3]) {
        if (0..i64::from(self.width)).contains(&x) && (0..i64::from(self.height)).contains(&y) {
            let at = 3 * (y as usize * self.width as usize + x as usize);
            self.pixels[at..at + 3].copy_from_slice(&colour);
        }
    }

    fn fill(&mut self, [left, top, width, height]: [i64; 4], colour: [u8; 3]) {
        for y in top..top + height {
            for x in left..left + width {
                self.set(x, y, colour);
            }
        }
    }

    /// Darkens what no region has; with faint stripes, so that it shows on a dark picture.
    fn dim(&mut self, outlines: &[Outline]) {
        for y in 0..self.height {
            let mut seen = vec![false; self.width as usize];
            for Outline { region, .. } in outlines {
                let [left, top, width, height] = region.pixels(self.width, self.height);
                let mut see = |from: u32, to: u32| seen[from as usize..to as usize].fill(true);
                match region.columns(y, self.width, self.height) {
                    Some(columns) => columns.iter().for_each(|columns| see(columns.start, columns.end)),
                    None if (top..top + height).contains(&y) => see(left, left + width),
                    None => {}
                }
            }
            let row = &mut self.pixels[3 * (y * self.width) as usize..][..3 * self.width as usize];
            for (x, pixel) in row.chunks_exact_mut(3).enumerate().filter(|(x, _)| !seen[*x]) {
                let grey = pixel.iter().map(|value| u32::from(*value)).sum::<u32>() / 3;
                let stripe = if ((x + y as usize) / 4).is_multiple_of(4) { 22 } else { 0 };
                pixel.fill((grey * 35 / 100 + stripe) as u8);
            }
        }
    }

    /// The corners in pixels, moved inwards where half of a line would lie beyond the picture.
    fn corners(&self, region: &Region) -> Vec<[f64; 2]> {
        let [left, top, right, bottom] = region.bounds();
        let corners =
            region.corners().unwrap_or_else(|| vec![[left, top], [right, top], [right, bottom], [left, bottom]]);
        let inside = |part: f64, side: u32| {
            let (side, margin) = (f64::from(side), self.line as f64 + 1.0);
            (part * side).clamp(margin.min(side / 2.0), (side - margin).max(side / 2.0))
        };
        corners.into_iter().map(|[x, y]| [inside(x, self.width), inside(y, self.height)]).collect()
    }

    fn draw(&mut self, outline: &Outline) {
        let corners = self.corners(&outline.region);
        let thick = self.line as f64;
        for (colour, reach) in [([0; 3], thick / 2.0 + 1.5), (colour(outline.task), thick / 2.0)] {
            for (from, to) in corners.iter().zip(corners.iter().cycle().skip(1)) {
                self.segment(*from, *to, reach, colour);
            }
        }
    }

    /// Every pixel whose centre is at most `reach` away from the segment.
    fn segment(&mut self, from: [f64; 2], to: [f64; 2], reach: f64, colour: [u8; 3]) {
        let [dx, dy] = [to[0] - from[0], to[1] - from[1]];
        let length = (dx * dx + dy * dy).max(f64::MIN_POSITIVE);
        let range = |a: f64, b: f64| (a.min(b) - reach).floor() as i64..=(a.max(b) + reach).ceil() as i64;
        for y in range(from[1], to[1]) {
            for x in range(from[0], to[0]) {
                let (px, py) = (x as f64 + 0.5 - from[0], y as f64 + 0.5 - from[1]);
                let along = ((px * dx + py * dy) / length).clamp(0.0, 1.0);
                if (px - along * dx).hypot(py - along * dy) <= reach {
                    self.set(x, y, colour);
                }
            }
        }
    }

    /// The name on its task's colour in the upper left corner of the region's box, or below what stands there.
    fn label(&mut self, outline: &Outline, taken: &mut Vec<[i64; 4]>) {
        let dot = self.line;
        let room = (i64::from(self.width) / (GLYPH * dot) - 1).max(1) as usize;
        let mut text: Vec<char> = outline.name.chars().collect();
        if text.len() > room {
            text.truncate(room.saturating_sub(2));
            text.extend("..".chars());
        }
        let (width, height) = ((text.len() as i64 * GLYPH + 2) * dot, (GLYPH + 2) * dot);
        let [left, top, ..] = outline.region.pixels(self.width, self.height);
        let margin = self.line + 2;
        let least = |at: i64, side: u32, length: i64| (at + margin).min(i64::from(side) - length - margin).max(0);
        let (left, mut top) = (least(left.into(), self.width, width), least(top.into(), self.height, height));
        let meets = |top: i64, other: &[i64; 4]| {
            left < other[0] + other[2]
                && other[0] < left + width
                && top < other[1] + other[3]
                && other[1] < top + height
        };
        while let Some(below) = taken.iter().find(|other| meets(top, other)).map(|other| other[1] + other[3] + 1) {
            if below + height > i64::from(self.height) {
                break;
            }
            top = below;
        }
        taken.push([left, top, width, height]);
        let paper = colour(outline.task);
        self.fill([left, top, width, height], paper);
        let bright = paper.iter().zip([3, 6, 1]).map(|(value, weight)| u32::from(*value) * weight).sum::<u32>() > 1280;
        let ink = if bright { [0; 3] } else { [255; 3] };
        for (place, letter) in text.into_iter().enumerate() {
            let rows = glyph(letter);
            for (y, row) in (0..).zip(rows) {
                for x in (0..GLYPH).filter(|x| row >> x & 1 == 1) {
                    let at = [left + dot * (1 + place as i64 * GLYPH + x), top + dot * (1 + y), dot, dot];
                    self.fill(at, ink);
                }
            }
        }
    }
}

fn colour(task: usize) -> [u8; 3] {
    COLOURS[task % COLOURS.len()]
}

/// Eight rows of eight dots, the first in the lowest bit; a question mark for what the fonts do not have.
fn glyph(letter: char) -> [u8; 8] {
    let fonts = [font8x8::BASIC_FONTS.get(letter), font8x8::LATIN_FONTS.get(letter), font8x8::GREEK_FONTS.get(letter)];
    fonts.into_iter().flatten().next().or_else(|| font8x8::BASIC_FONTS.get('?')).unwrap_or([0; 8])
}

impl Rgb {
    /// The bytes of a PNG file.
    ///
    /// # Errors
    /// The encoder's, where a picture has too many pixels for the format.
    pub fn png(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes)
            .write_image(self.pixels(), self.width(), self.height(), ExtendedColorType::Rgb8)
            .map_err(std::io::Error::other)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(task: usize, name: &str, region: &str) -> Outline {
        Outline { task, name: name.into(), region: region.parse().unwrap() }
    }

    fn at(drawn: &Rgb, x: u32, y: u32) -> &[u8] {
        &drawn.pixels()[3 * (y * drawn.width() + x) as usize..][..3]
    }

    #[test]
    fn what_is_looked_at_stays_as_it_is_and_the_rest_is_dimmed() {
        let image = Rgb::new(1000, 800, vec![200; 1000 * 800 * 3]).unwrap();
        let drawn = outlined(
            &image,
            &[outline(0, "door", "0.1,0.1,0.5,0.5"), outline(1, "car", "[[0.6,0.6],[0.9,0.6],[0.6,0.9]]")],
        );
        assert_eq!((drawn.width(), drawn.height()), (1000, 800));
        assert_eq!(at(&drawn, 300, 300), [200; 3]);
        assert_eq!(at(&drawn, 680, 540), [200; 3]);
        assert!(at(&drawn, 850, 680)[0] < 100 && at(&drawn, 30, 700)[0] < 100);
        assert_eq!((at(&drawn, 300, 399), at(&drawn, 600, 650)), (&COLOURS[0][..], &COLOURS[1][..]));
        assert!(drawn.pixels().chunks_exact(3).any(|pixel| pixel == [0; 3]), "letters");
        let png = drawn.png().unwrap();
        assert_eq!(crate::image::decode(&png, &crate::image::Limits::default()).unwrap(), drawn);
    }

    #[test]
    fn no_picture_and_no_name_break_it() {
        let names = ["", "a", "Tür (/srv/kamera/hinten links am Tor, und noch viel weiter)", "門"];
        for (width, height) in [(1, 1), (1, 3000), (3000, 1), (64, 48), (2000, 1500)] {
            let image = Rgb::new(width, height, vec![3; (width * height * 3) as usize]).unwrap();
            let regions = ["0,0,1,1", "0.99,0.99,1,1", "[[0,0],[1,0.5],[0,1]]", "0.99,0,1,1"];
            let outlines: Vec<Outline> = names
                .iter()
                .zip(regions)
                .enumerate()
                .map(|(task, (name, region))| outline(task, name, region))
                .collect();
            let drawn = outlined(&image, &outlines);
            let longer = drawn.width().max(drawn.height());
            assert!((640..1600 + 640).contains(&longer), "{width} x {height}: {longer}");
        }
    }
}
