//! Pictures of measures: SVG, dark lines on white.

use std::fmt::Write as _;

/// Colours of what was measured, of what it is compared with, of rules behind them, and of areas that are marked.
pub const MEASURED: &str = "#27598c";
pub const COMPARED: &str = "#c2571a";
pub const RULE: &str = "#ccc";
pub const MARKED: &str = "#eef3f8";

/// Where a text's place is within it.
#[derive(Debug, Clone, Copy)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

/// A picture on its way.
#[derive(Debug)]
pub struct Drawing {
    elements: String,
}

impl Drawing {
    /// An empty one of this size.
    pub fn new(width: f64, height: f64) -> Self {
        let mut drawing = Self { elements: String::new() };
        drawing.put(&format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
             font-size=\"11\">"
        ));
        drawing.put(&format!("<rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>"));
        drawing
    }

    /// Marks what is between two corners.
    pub fn area(&mut self, (left, top): (f64, f64), (right, bottom): (f64, f64)) {
        let (width, height) = (right - left, bottom - top);
        self.put(&format!(
            "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{MARKED}\"/>"
        ));
    }

    /// A line through all points; `dashes` as of SVG, empty for none.
    pub fn line(&mut self, points: &[(f64, f64)], colour: &str, width: f64, dashes: &str) {
        let mut path = String::new();
        for (x, y) in points {
            let letter = if path.is_empty() { 'M' } else { 'L' };
            write!(path, "{letter}{x:.1} {y:.1}").expect("it is memory");
        }
        let dashes = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
        self.put(&format!("<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dashes}/>"));
    }

    /// A dot.
    pub fn dot(&mut self, (x, y): (f64, f64), colour: &str) {
        self.put(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"{colour}\"/>"));
    }

    /// A text without markup.
    pub fn text(&mut self, at: (f64, f64), anchor: Anchor, text: &str) {
        self.write(at, anchor, "", text);
    }

    /// The name of a part of the picture.
    pub fn title(&mut self, at: (f64, f64), text: &str) {
        self.write(at, Anchor::Start, " font-weight=\"bold\"", text);
    }

    /// The document.
    pub fn finish(mut self) -> String {
        self.put("</svg>");
        self.elements
    }

    fn write(&mut self, (x, y): (f64, f64), anchor: Anchor, more: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        self.put(&format!("<text x=\"{x:.1}\" y=\"{y:.1}\"{anchor}{more}>{text}</text>"));
    }

    fn put(&mut self, element: &str) {
        self.elements.push_str(element);
        self.elements.push('\n');
    }
}
