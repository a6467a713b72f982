//! Lines, words and marks as SVG text. Knows coordinates, not scores.

use std::fmt::Write;

/// Families with Hangul first where a system has them; any sans-serif will do.
const FONTS: &str = "'Noto Sans KR','Noto Sans CJK KR','Apple SD Gothic Neo','Malgun Gothic',Helvetica,Arial,sans-serif";

/// A picture in the making; y grows downwards.
pub struct Svg {
    text: String,
}

/// The shape of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A triangle on its base.
    Triangle,
    /// A triangle on its tip.
    Down,
    /// A square on its tip.
    Diamond,
    /// Two strokes, aslant.
    Cross,
    /// Two strokes, upright.
    Plus,
}

impl Svg {
    /// A white page.
    pub fn new(width: f64, height: f64) -> Svg {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" font-family=\"{FONTS}\">\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#FFFFFF\"/>\n"
        );
        Svg { text }
    }

    /// A stroke; `dashes` as in `stroke-dasharray`.
    pub fn line(
        &mut self,
        from: (f64, f64),
        to: (f64, f64),
        colour: &str,
        thickness: f64,
        dashes: Option<&str>,
    ) {
        let dashes = dashes.map_or_else(String::new, |d| format!(" stroke-dasharray=\"{d}\""));
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" \
             stroke=\"{colour}\" stroke-width=\"{thickness}\"{dashes}/>"
        ));
    }

    /// Words on one line; `anchor` is `start`, `middle` or `end`.
    pub fn text(&mut self, x: f64, y: f64, size: f64, anchor: &str, colour: &str, words: &str) {
        let words = escaped(words);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\" \
             fill=\"{colour}\">{words}</text>"
        ));
    }

    /// Words that run from bottom to top around their middle.
    pub fn upright(&mut self, x: f64, y: f64, size: f64, colour: &str, words: &str) {
        let words = escaped(words);
        self.add(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"middle\" \
             fill=\"{colour}\" transform=\"rotate(-90 {x:.1} {y:.1})\">{words}</text>"
        ));
    }

    /// A point; a hollow one shows the page.
    pub fn mark(&mut self, mark: Mark, (x, y): (f64, f64), colour: &str, is_hollow: bool) {
        let (path, is_filled) = match mark {
            Mark::Circle => ("M-4.2,0a4.2,4.2 0 1,0 8.4,0a4.2,4.2 0 1,0 -8.4,0z", true),
            Mark::Square => ("M-3.6,-3.6h7.2v7.2h-7.2z", true),
            Mark::Triangle => ("M0,-4.6l4.4,7.8h-8.8z", true),
            Mark::Down => ("M0,4.6l4.4,-7.8h-8.8z", true),
            Mark::Diamond => ("M0,-4.9l4.2,4.9l-4.2,4.9l-4.2,-4.9z", true),
            Mark::Cross => ("M-3.6,-3.6l7.2,7.2m0,-7.2l-7.2,7.2", false),
            Mark::Plus => ("M0,-4.6v9.2m-4.6,-4.6h9.2", false),
        };
        let (inside, edge, thickness) = match (is_filled, is_hollow) {
            (true, false) => (colour, "#FFFFFF", 0.8),
            (true, true) => ("#FFFFFF", colour, 1.8),
            (false, _) => ("none", colour, 2.0),
        };
        let paint = format!("fill=\"{inside}\" stroke=\"{edge}\" stroke-width=\"{thickness}\"");
        self.add(format_args!(
            "<path d=\"{path}\" transform=\"translate({x:.1} {y:.1})\" {paint}/>"
        ));
    }

    /// The whole file.
    pub fn finish(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing into a String cannot fail.
        let _ = writeln!(self.text, "{element}");
    }
}

/// About how wide words are: Hangul and Han as wide as high, the rest a little over half of it.
pub fn width_of(words: &str, size: f64) -> f64 {
    let wide = |c: char| matches!(c, '\u{1100}'..='\u{11FF}' | '\u{2E80}'..='\u{D7FF}' | '\u{F900}'..='\u{FAFF}');
    let of = |c: char| if wide(c) { 1.0 } else { 0.52 };
    words.chars().map(of).sum::<f64>() * size
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_escaped_and_hangul_is_wide() {
        let mut svg = Svg::new(10.0, 20.0);
        svg.text(1.0, 2.0, 12.0, "start", "#000000", "한글 <b> & \"c\"");
        let text = svg.finish();
        assert!(text.contains(">한글 &lt;b&gt; &amp; &quot;c&quot;</text>"), "{text}");
        assert_eq!(width_of("한글", 10.0), 20.0);
        assert!(width_of("ab", 10.0) < 12.0);
    }
}
