//! Scores against numbers of shots, as an SVG: a panel a task, a line a model, bars of one standard
//! error. Our models have thick solid lines, published ones thin dashed ones; colours are those of
//! Okabe and Ito (2008), and every line has its own mark, so that neither colours nor print decide.
//!
//! Plain text with its own small layout: what is drawn is a few dozen lines and words, and no font
//! file is needed. The numbers of shots stand at equal distances, as in the published charts.

use crate::figure::{Figure, distinct};
use crate::svg::{Mark, Svg, width_of};
use crate::table::{metric_title, task_title};

const PANEL: (f64, f64) = (400.0, 300.0);
const COLUMNS: usize = 2;
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 46.0;
const HEAD: f64 = 34.0;
const LEGEND_LINE: f64 = 22.0;
const INK: &str = "#222222";
const PALE: &str = "#DDDDDD";
const CUT_NOTE: &str = "hollow marks: prompts lost their beginning";
const WARNING: &str = "#B00000";

/// Readable side by side by colour-blind people: ours first, then the published ones.
const OURS: [&str; 2] = ["#D55E00", "#000000"];
const PUBLISHED: [&str; 6] = ["#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#777777"];
const MARKS: [Mark; 6] =
    [Mark::Square, Mark::Triangle, Mark::Diamond, Mark::Cross, Mark::Down, Mark::Plus];

/// One panel: a task and the metric that is drawn.
pub struct Panel<'a> {
    /// Name of the task.
    pub task: &'a str,
    /// Name of the metric.
    pub metric: &'a str,
}

/// A line of the chart: a model, and how it is drawn in every panel.
struct Line<'a> {
    model: &'a str,
    is_ours: bool,
    colour: &'static str,
    mark: Mark,
}

/// A chart of `panels` with what `figures` has for each; `warning` stands under the title.
pub fn chart(
    title: &str,
    panels: &[Panel<'_>],
    figures: &[Figure],
    warning: Option<&str>,
) -> String {
    let of_panel = |panel: &Panel<'_>| -> Vec<&Figure> {
        let belongs = |f: &&Figure| f.task == panel.task && f.metric == panel.metric;
        figures.iter().filter(belongs).collect()
    };
    let drawn: Vec<Vec<&Figure>> = panels.iter().map(of_panel).collect();
    let lines = lines(drawn.iter().flatten().copied());
    let columns = panels.len().clamp(1, COLUMNS);
    let rows = panels.len().div_ceil(columns);
    let width = columns as f64 * PANEL.0;
    let legend = legend_rows(&lines, width);
    let below = HEAD + rows as f64 * PANEL.1;
    let is_cut = drawn.iter().flatten().any(|figure| figure.cut.cut_documents > 0);
    let notes = legend.len() + usize::from(is_cut);
    let mut svg = Svg::new(width, below + notes as f64 * LEGEND_LINE + 14.0);
    svg.text(width / 2.0, 22.0, 15.0, "middle", INK, title);
    if let Some(warning) = warning {
        svg.text(width / 2.0, 38.0, 12.0, "middle", WARNING, warning);
    }
    for (index, (panel, figures)) in panels.iter().zip(&drawn).enumerate() {
        let (column, row) = (index % columns, index / columns);
        let corner = (column as f64 * PANEL.0, HEAD + row as f64 * PANEL.1);
        draw_panel(&mut svg, corner, panel, figures, &lines);
    }
    for (row, lines) in legend.iter().enumerate() {
        draw_legend(&mut svg, below + 12.0 + row as f64 * LEGEND_LINE, width, lines);
    }
    if is_cut {
        let y = below + 16.0 + legend.len() as f64 * LEGEND_LINE;
        svg.text(width / 2.0, y, 12.0, "middle", INK, CUT_NOTE);
    }
    svg.finish()
}

fn lines<'a>(figures: impl Iterator<Item = &'a Figure>) -> Vec<Line<'a>> {
    let mut models = distinct(figures, |figure| (figure.model.as_str(), figure.is_ours));
    models.sort_by_key(|(_, is_ours)| !is_ours);
    let ours = models.iter().filter(|(_, is_ours)| *is_ours).count();
    let line = |(index, (model, is_ours)): (usize, (&'a str, bool))| Line {
        model,
        is_ours,
        colour: match is_ours {
            true => OURS[index % OURS.len()],
            false => PUBLISHED[(index - ours) % PUBLISHED.len()],
        },
        mark: if is_ours { Mark::Circle } else { MARKS[(index - ours) % MARKS.len()] },
    };
    models.into_iter().enumerate().map(line).collect()
}

/// Where a panel's values lie on the page.
struct Axes {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    shots: Vec<usize>,
    lowest: f64,
    highest: f64,
}

impl Axes {
    fn of(corner: (f64, f64), figures: &[&Figure]) -> Axes {
        let mut shots: Vec<usize> = distinct(figures.iter().copied(), |figure| figure.shots);
        shots.sort_unstable();
        let ends = figures.iter().flat_map(|figure| {
            let error = figure.standard_error.unwrap_or(0.0);
            [figure.value - error, figure.value + error]
        });
        let (lowest, highest) = ends
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), end| {
                (low.min(end), high.max(end))
            });
        let step = step(highest - lowest);
        Axes {
            left: corner.0 + LEFT,
            top: corner.1 + TOP,
            width: PANEL.0 - LEFT - RIGHT,
            height: PANEL.1 - TOP - BOTTOM,
            shots,
            lowest: (lowest / step).floor() * step,
            highest: (highest / step).ceil() * step,
        }
    }

    fn x(&self, shots: usize) -> f64 {
        let place = self.shots.iter().position(|&known| known == shots).unwrap_or(0);
        self.left + self.width * (place as f64 + 0.5) / self.shots.len() as f64
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value - self.lowest) / (self.highest - self.lowest);
        self.top + self.height * (1.0 - share)
    }

    fn ticks(&self) -> Vec<f64> {
        let step = step(self.highest - self.lowest);
        let count = ((self.highest - self.lowest) / step).round() as usize;
        (0..=count).map(|tick| self.lowest + step * tick as f64).collect()
    }
}

/// A round distance between ticks, so that a span has four to eight of them.
fn step(span: f64) -> f64 {
    let steps = [0.01, 0.02, 0.05, 0.1, 0.2];
    steps.into_iter().find(|step| span / step <= 7.0).unwrap_or(0.2)
}

fn draw_panel(
    svg: &mut Svg,
    corner: (f64, f64),
    panel: &Panel<'_>,
    figures: &[&Figure],
    lines: &[Line<'_>],
) {
    if figures.is_empty() {
        return;
    }
    let axes = Axes::of(corner, figures);
    let middle = axes.left + axes.width / 2.0;
    svg.text(middle, axes.top - 10.0, 13.0, "middle", INK, &task_title(panel.task));
    for tick in axes.ticks() {
        let y = axes.y(tick);
        svg.line((axes.left, y), (axes.left + axes.width, y), PALE, 1.0, None);
        svg.text(axes.left - 6.0, y + 4.0, 11.0, "end", INK, &format!("{tick:.2}"));
    }
    let bottom = axes.top + axes.height;
    svg.line((axes.left, bottom), (axes.left + axes.width, bottom), INK, 1.0, None);
    for &shots in &axes.shots {
        svg.text(axes.x(shots), bottom + 16.0, 11.0, "middle", INK, &shots.to_string());
    }
    svg.text(middle, bottom + 34.0, 12.0, "middle", INK, "examples in the prompt (shots)");
    svg.upright(
        corner.0 + 16.0,
        axes.top + axes.height / 2.0,
        12.0,
        INK,
        &metric_title(panel.metric),
    );
    for (index, line) in lines.iter().enumerate().rev() {
        let points: Vec<&Figure> =
            figures.iter().filter(|f| f.model == line.model).copied().collect();
        let dodge = (index as f64 - (lines.len() as f64 - 1.0) / 2.0) * 2.0;
        draw_line(svg, &axes, line, points, dodge);
    }
}

/// `dodge` moves a line aside, so that error bars of several lines stay apart.
fn draw_line(svg: &mut Svg, axes: &Axes, line: &Line<'_>, mut figures: Vec<&Figure>, dodge: f64) {
    figures.sort_by_key(|figure| figure.shots);
    let (thickness, dashes) = strokes(line);
    let point = |figure: &Figure| (axes.x(figure.shots) + dodge, axes.y(figure.value));
    for pair in figures.windows(2) {
        svg.line(point(pair[0]), point(pair[1]), line.colour, thickness, dashes);
    }
    for figure in figures {
        let (x, y) = point(figure);
        if let Some(error) = figure.standard_error {
            let (low, high) = (axes.y(figure.value - error), axes.y(figure.value + error));
            svg.line((x, low), (x, high), line.colour, 1.2, None);
            for end in [low, high] {
                svg.line((x - 3.0, end), (x + 3.0, end), line.colour, 1.2, None);
            }
        }
        svg.mark(line.mark, (x, y), line.colour, figure.cut.cut_documents > 0);
    }
}

fn strokes(line: &Line<'_>) -> (f64, Option<&'static str>) {
    if line.is_ours { (2.4, None) } else { (1.3, Some("5 3")) }
}

const SAMPLE: f64 = 34.0;
const GAP: f64 = 22.0;

fn legend_width(line: &Line<'_>) -> f64 {
    SAMPLE + 6.0 + width_of(line.model, 12.0) + GAP
}

/// The lines dealt to rows that fit into `width`.
fn legend_rows<'a, 'b>(lines: &'b [Line<'a>], width: f64) -> Vec<Vec<&'b Line<'a>>> {
    let mut rows: Vec<Vec<&Line<'_>>> = vec![Vec::new()];
    let mut used = 0.0;
    for line in lines {
        if used + legend_width(line) > width - 20.0 {
            rows.push(Vec::new());
            used = 0.0;
        }
        used += legend_width(line);
        if let Some(row) = rows.last_mut() {
            row.push(line);
        }
    }
    rows
}

fn draw_legend(svg: &mut Svg, y: f64, width: f64, lines: &[&Line<'_>]) {
    let whole: f64 = lines.iter().map(|line| legend_width(line)).sum::<f64>() - GAP;
    let mut x = (width - whole) / 2.0;
    for line in lines {
        let (thickness, dashes) = strokes(line);
        svg.line((x, y), (x + SAMPLE, y), line.colour, thickness, dashes);
        svg.mark(line.mark, (x + SAMPLE / 2.0, y), line.colour, false);
        svg.text(x + SAMPLE + 6.0, y + 4.0, 12.0, "start", INK, line.model);
        x += legend_width(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figure::Cut;
    use crate::published;

    #[test]
    fn every_model_has_its_line_in_every_panel_and_one_entry_in_the_legend() {
        let mut figures = published::figures("polyglot");
        let ours: Vec<Figure> =
            figures.iter().filter(|f| f.model.contains("20B")).cloned().collect();
        figures.extend(ours.into_iter().map(|f| Figure {
            model: "우리 <모델>".to_owned(),
            is_ours: true,
            value: f.value * 0.9,
            standard_error: Some(0.02),
            cut: Cut { documents: 9, cut_documents: usize::from(f.shots == 50), shots_left: 1.0 },
            ..f
        }));
        let panels = ["kobest_copa", "kobest_boolq", "nsmc"]
            .map(|task| Panel { task, metric: if task == "nsmc" { "acc" } else { "macro_f1" } });
        let svg = chart("점수 scores", &panels, &figures, Some("ONLY THE FIRST 2"));
        let count = |what: &str| svg.matches(what).count();
        assert_eq!((count(">KoBEST COPA<"), count(">KoBEST BoolQ<"), count(">NSMC<")), (1, 1, 1));
        assert_eq!(count(">우리 &lt;모델&gt;<"), 1);
        assert_eq!(count(">Llama-2-Ko 7B, 40B tokens<"), 1);
        // Four models at four numbers of shots in two panels; NSMC has seven models, three of them
        // at three numbers of shots; and the legend has seven.
        let marks = 2 * 4 * 4 + 7 * 4 - 5 + 7;
        assert_eq!(count("<path "), marks);
        assert_eq!(
            count("<path d=\"M-4.2,0a") - count("fill=\"#FFFFFF\" stroke=\"#D55E00\""),
            12 - 2
        );
        assert!(svg.contains(CUT_NOTE), "two of our points are hollow");
        assert!(svg.contains("ONLY THE FIRST 2") && svg.ends_with("</svg>\n"));
    }

    #[test]
    fn a_panel_has_a_handful_of_round_ticks() {
        for (span, expected) in [(0.04, 0.01), (0.12, 0.02), (0.35, 0.05), (0.6, 0.1), (1.0, 0.2)] {
            assert_eq!(step(span), expected);
        }
    }
}
