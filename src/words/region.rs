//! Which part of a picture is looked at.

mod pixels;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Digest;

/// Parts of one that a coordinate is kept in: a tenth of a pixel of 100,000.
const PARTS: f64 = 1_000_000.0;
/// The least width and height, in parts of one.
const LEAST: f64 = 0.01;
/// The most corners of a polygon.
const CORNERS_MAX: usize = 64;

/// A box or a polygon in parts of a picture's width and height, from its upper left corner; coordinates are kept in
/// millionths, so that regions can be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Region(Shape);

/// Millionths of width and height.
type Corner = [u32; 2];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Shape {
    /// The least and the greatest x and y.
    Box(Corner, Corner),
    /// Corners in order; the last is joined to the first.
    Polygon(Vec<Corner>),
}

/// As a region is written: `[left, top, right, bottom]`, or `[[x, y], …]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected [left, top, right, bottom], or the corners [[x, y], …], in parts of one")]
enum Written {
    Box([f64; 4]),
    Polygon(Vec<[f64; 2]>),
}

/// Why something is no region.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadRegion {
    /// A coordinate is beyond the picture.
    #[error("coordinates are parts of width and height, from 0 to 1; found {found}")]
    Beyond {
        /// The first such coordinate.
        found: f64,
    },
    /// The edges of a box are in the wrong order, or a region is too narrow.
    #[error(
        "a region is at least {LEAST} wide and high, [left, top, right, bottom] or [[x, y], …]; this one is {width} by {height}"
    )]
    TooSmall {
        /// Right less left.
        width: f64,
        /// Bottom less top.
        height: f64,
    },
    /// Too few or too many corners.
    #[error("a polygon has 3 to {CORNERS_MAX} corners, this one has {corners}")]
    Corners {
        /// How many it has.
        corners: usize,
    },
    /// Its corners lie on a line.
    #[error("a polygon needs corners that do not lie on one line")]
    Flat,
}

/// Why a text is no region.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BadRegionText {
    /// Neither a box nor a polygon.
    #[error(
        "expected left,top,right,bottom, such as 0,0.25,0.3,0.85, or the corners of a polygon, [[x,y],[x,y],[x,y]]"
    )]
    Form,
    /// One that shows nothing.
    #[error(transparent)]
    Region(#[from] BadRegion),
}

impl Region {
    /// The whole picture.
    pub const WHOLE: Self = Self(Shape::Box([0, 0], [PARTS as u32, PARTS as u32]));

    /// The part between these edges.
    ///
    /// # Errors
    /// [`BadRegion`] when an edge is beyond the picture, or the part is narrower or lower than a hundredth of it.
    pub fn rectangle([left, top, right, bottom]: [f64; 4]) -> Result<Self, BadRegion> {
        let (low, high) = (corner([left, top])?, corner([right, bottom])?);
        wide_enough(low, high)?;
        Ok(Self(Shape::Box(low, high)))
    }

    /// The part within these corners, by the even-odd rule.
    ///
    /// # Errors
    /// [`BadRegion`] when a corner is beyond the picture, there are less than 3 or more than 64, they lie on a line, or
    /// the part is narrower or lower than a hundredth of the picture.
    pub fn polygon(corners: &[[f64; 2]]) -> Result<Self, BadRegion> {
        if !(3..=CORNERS_MAX).contains(&corners.len()) {
            return Err(BadRegion::Corners { corners: corners.len() });
        }
        let kept = corners.iter().map(|at| corner(*at)).collect::<Result<Vec<_>, _>>()?;
        let region = Self(Shape::Polygon(kept));
        let (low, high) = region.extent();
        wide_enough(low, high)?;
        if region.is_flat() { Err(BadRegion::Flat) } else { Ok(region) }
    }

    /// Whether it is the whole picture.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        *self == Self::WHOLE
    }

    /// What reports call it: `the region [0.0, 0.25, 0.3, 0.85]`, or `the whole picture`.
    #[must_use]
    pub fn in_words(&self) -> String {
        if self.is_whole() { "the whole picture".to_owned() } else { format!("the region {self}") }
    }

    /// Its box: left, top, right, bottom in parts of width and height.
    #[must_use]
    pub fn bounds(&self) -> [f64; 4] {
        let (low, high) = self.extent();
        [low[0], low[1], high[0], high[1]].map(part)
    }

    /// The corners of a polygon in parts of width and height; `None` for a box.
    #[must_use]
    pub fn corners(&self) -> Option<Vec<[f64; 2]>> {
        match &self.0 {
            Shape::Box(..) => None,
            Shape::Polygon(corners) => Some(corners.iter().map(|at| at.map(part)).collect()),
        }
    }

    /// What preprocessing with the digest `preprocessing` is called when it begins with this part of a picture: the
    /// same for the whole one.
    #[must_use]
    pub fn within(&self, preprocessing: Digest) -> Digest {
        if self.is_whole() {
            return preprocessing;
        }
        Digest::of(&[&preprocessing.0[..], b"region", self.to_string().as_bytes()].concat())
    }

    /// The least and the greatest x and y.
    fn extent(&self) -> (Corner, Corner) {
        match &self.0 {
            Shape::Box(low, high) => (*low, *high),
            Shape::Polygon(corners) => corners.iter().fold(([u32::MAX; 2], [0; 2]), |(low, high), at| {
                ([low[0].min(at[0]), low[1].min(at[1])], [high[0].max(at[0]), high[1].max(at[1])])
            }),
        }
    }

    /// Whether all corners lie on one line.
    fn is_flat(&self) -> bool {
        let Shape::Polygon(corners) = &self.0 else { return false };
        let [first, rest @ ..] = corners.as_slice() else { return true };
        let from = |at: &Corner| [i64::from(at[0]) - i64::from(first[0]), i64::from(at[1]) - i64::from(first[1])];
        let crosses = |pair: &[Corner]| {
            let ([ax, ay], [bx, by]) = (from(&pair[0]), from(&pair[1]));
            ax * by != ay * bx
        };
        !rest.windows(2).any(crosses)
    }
}

impl fmt::Display for Region {
    /// As it is written, in one way only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.corners() {
            None => write!(f, "{:?}", self.bounds()),
            Some(corners) => write!(f, "{corners:?}"),
        }
    }
}

impl FromStr for Region {
    type Err = BadRegionText;

    /// `left,top,right,bottom`, or a box or polygon as JSON.
    fn from_str(text: &str) -> Result<Self, BadRegionText> {
        let text = text.trim();
        let json = if text.starts_with('[') { text.to_owned() } else { format!("[{text}]") };
        match serde_json::from_str(&json) {
            Ok(Written::Polygon(corners)) if corners.is_empty() => Err(BadRegionText::Form),
            Ok(written) => Ok(Self::try_from(written)?),
            Err(_) => Err(BadRegionText::Form),
        }
    }
}

impl TryFrom<Written> for Region {
    type Error = BadRegion;

    fn try_from(written: Written) -> Result<Self, BadRegion> {
        match written {
            Written::Box(edges) => Self::rectangle(edges),
            Written::Polygon(corners) => Self::polygon(&corners),
        }
    }
}

impl From<Region> for Written {
    fn from(region: Region) -> Self {
        region.corners().map_or_else(|| Self::Box(region.bounds()), Self::Polygon)
    }
}

fn corner(at: [f64; 2]) -> Result<Corner, BadRegion> {
    match at.into_iter().find(|part| !(0.0..=1.0).contains(part)) {
        Some(found) => Err(BadRegion::Beyond { found }),
        None => Ok(at.map(|part| (part * PARTS).round() as u32)),
    }
}

fn part(millionths: u32) -> f64 {
    f64::from(millionths) / PARTS
}

/// Counted in millionths: a rounding error of the numbers as they were written is no fault of who wrote them.
fn wide_enough(low: Corner, high: Corner) -> Result<(), BadRegion> {
    let [width, height] = [0, 1].map(|axis| i64::from(high[axis]) - i64::from(low[axis]));
    let least = (LEAST * PARTS) as i64;
    if width.min(height) >= least {
        return Ok(());
    }
    Err(BadRegion::TooSmall { width: width as f64 / PARTS, height: height as f64 / PARTS })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Region, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["[0.0,0.25,0.3,0.85]", "[[0.1,0.1],[0.9,0.1],[0.5,0.8]]", "[0.0,0.0,1.0,1.0]"] {
            let region = read(text).unwrap();
            assert_eq!(serde_json::to_string(&region).unwrap(), text);
        }
        assert_eq!(read("[0, 0, 1, 1]").unwrap(), Region::WHOLE);
        assert_eq!(read("[0, 0.25, 0.3, 0.85]").unwrap().to_string(), "[0.0, 0.25, 0.3, 0.85]");
        let triangle = read("[[0.1, 0.1], [0.9, 0.1], [0.5, 0.8]]").unwrap();
        assert_eq!(format!("{:?}", triangle.bounds()), "[0.1, 0.1, 0.9, 0.8]");
    }

    #[test]
    fn what_shows_nothing_is_refused() {
        for text in [
            "[0, 0, 1, 1.1]",
            "[-0.1, 0, 1, 1]",
            "[0.5, 0, 0.5, 1]",
            "[0.9, 0, 0.1, 1]",
            "[0, 0, 0.005, 1]",
            "[[0, 0], [1, 1]]",
            "[[0, 0], [0.5, 0.5], [1, 1]]",
            "[0, 0, 1]",
            "\"door\"",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(Region::rectangle([0.0, 0.0, f64::NAN, 1.0]).is_err());
        assert!(Region::rectangle([0.69, 0.0, 0.7, 1.0]).is_ok(), "0.7 - 0.69 is a little less than 0.01");
        assert!(Region::polygon(&vec![[0.0, 0.0]; 65]).is_err());
    }

    #[test]
    fn a_region_can_be_typed_without_brackets_and_errors_say_how() {
        let typed = |text: &str| text.parse::<Region>().map_err(|error| error.to_string());
        assert_eq!(typed("0,0.25,0.3,0.85"), Ok(Region::rectangle([0.0, 0.25, 0.3, 0.85]).unwrap()));
        assert_eq!(typed(" [0, 0.25, 0.3, 0.85]"), typed("0,0.25,0.3,0.85"));
        assert_eq!(typed("[[0,0],[1,0],[0,1]]").unwrap().to_string(), "[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]");
        for text in ["", "door", "0,0.25,0.3", "0,0,1,1,1", "0 0 1 1", "[[0,0],[1,0],[0]]", "[[[0]]]", "{}"] {
            assert!(typed(text).unwrap_err().contains("0,0.25,0.3,0.85, or the corners"), "{text}");
        }
        for (text, says) in [
            ("0,0,1,1.5", "from 0 to 1; found 1.5"),
            ("-0.1,0,1,1", "found -0.1"),
            ("0.7,0,0.1,1", "this one is -0.6 by 1"),
            ("[[0,0],[1,1]]", "this one has 2"),
        ] {
            assert!(typed(text).unwrap_err().contains(says), "{text}: {}", typed(text).unwrap_err());
        }
        assert!(read("[0,0,1]").unwrap_err().contains("expected [left, top, right, bottom], or the corners"));
    }

    #[test]
    fn each_region_has_preprocessing_of_its_own_and_the_whole_picture_has_none() {
        let preprocessing = Digest::of(b"p");
        assert_eq!(Region::WHOLE.within(preprocessing), preprocessing);
        let left = Region::rectangle([0.0, 0.0, 0.5, 1.0]).unwrap();
        let corners = [[0.0, 0.0], [0.5, 0.0], [0.5, 1.0], [0.0, 1.0]];
        let drawn = Region::polygon(&corners).unwrap();
        let all = [Region::WHOLE, left, drawn].map(|region| region.within(preprocessing));
        assert!(all[0] != all[1] && all[1] != all[2] && all[0] != all[2]);
    }
}
