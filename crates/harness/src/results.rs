//! A run to the files of its folder: `results.json` in the shape of lm-evaluation-harness, in the
//! two older modes `results_K_shot.json` besides, `results.md` with tables as in the model card, and
//! charts. Samples are written as tasks are done ([`crate::samples`]).

use crate::chart::{Panel, chart};
use crate::error::HarnessError;
use crate::figure::Figure;
use crate::mode::Mode;
use crate::run::Run;
use crate::table::{self, headlines, limit_warning};
use crate::whole_file::write_whole;
use crate::{lm_eval_results, polyglot_results, published};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes everything about `run` but its samples into `folder`, and says which files those are: none
/// where nothing was evaluated.
pub fn write(folder: &Path, run: &Run<'_>) -> Result<Vec<PathBuf>, HarnessError> {
    if run.summaries.is_empty() {
        return Ok(Vec::new());
    }
    let mut files = vec![("results.json".to_owned(), pretty(&lm_eval_results::results(run)))];
    if run.mode() != Mode::LmEval {
        for shots in shot_counts(run) {
            let results = polyglot_results::results(run, shots);
            files.push((format!("results_{shots}_shot.json"), pretty(&results)));
        }
    }
    files.push(("results.md".to_owned(), page(run)));
    files.extend(charts(run));
    let mut paths = Vec::new();
    for (name, text) in files {
        let path = folder.join(name);
        write_whole(&path, |file| file.write_all(text.as_bytes()))?;
        paths.push(path);
    }
    Ok(paths)
}

/// The tables of a run in Markdown, published rows beside ours.
pub fn page(run: &Run<'_>) -> String {
    let protocol = run.protocol();
    let tables = table::page(&run.figures(), &published::sources(&protocol), run.limit());
    format!("{}, mode {protocol}\n\n{tables}", run.model.name)
}

/// Every number of shots, the least first.
pub fn shot_counts(run: &Run<'_>) -> BTreeSet<usize> {
    run.summaries.iter().map(|summary| summary.asking.shots).collect()
}

/// A chart of all tasks that were asked at several numbers of shots, and one for each of them.
fn charts(run: &Run<'_>) -> Vec<(String, String)> {
    let figures = run.figures();
    let panels: Vec<Panel<'_>> = headlines(&figures)
        .into_iter()
        .map(|(task, metric)| Panel { task, metric })
        .filter(|panel| is_a_line(panel, &figures))
        .collect();
    if panels.is_empty() {
        return Vec::new();
    }
    let warning = limit_warning(run.limit());
    let draw = |panels: &[Panel<'_>]| {
        let title = format!("{}, mode {}", run.model.name, run.protocol());
        chart(&title, panels, &figures, warning.as_deref())
    };
    let mut charts = vec![("scores.svg".to_owned(), draw(&panels))];
    for panel in &panels {
        charts.push((format!("scores_{}.svg", panel.task), draw(std::slice::from_ref(panel))));
    }
    charts
}

fn is_a_line(panel: &Panel<'_>, figures: &[Figure]) -> bool {
    let of_panel = |f: &&Figure| f.is_ours && f.task == panel.task && f.metric == panel.metric;
    figures.iter().filter(of_panel).count() > 1
}

fn pretty(results: &Value) -> String {
    format!("{results:#}\n")
}
