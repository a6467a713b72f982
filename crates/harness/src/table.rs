//! Figures to Markdown: a table for each task laid out as in the model card (models down, numbers of
//! shots across, published rows first), and one with every metric of ours.

use crate::figure::{Cut, Figure, distinct};
use crate::published::Source;

/// How a limited run is marked wherever its figures are shown.
pub fn limit_warning(limit: Option<usize>) -> Option<String> {
    let told = |n| format!("ONLY THE FIRST {n} DOCUMENTS OF EACH TASK: not a figure for a table");
    limit.map(told)
}

/// The page `results.md`: tables as in the card, all metrics, what was cut, where published rows are
/// from.
pub fn page(figures: &[Figure], sources: &[Source], limit: Option<usize>) -> String {
    let mut text = String::new();
    if let Some(warning) = limit_warning(limit) {
        text += &format!("> **{warning}**\n\n");
    }
    for (task, metric) in headlines(figures) {
        text += &card_table(figures, task, metric);
        text.push('\n');
    }
    text += &format!("### All metrics\n\n{}", all_metrics(figures));
    if figures.iter().any(|figure| !figure.is_ours) {
        text += "\nPublished rows:\n\n";
        for Source { what, place, .. } in sources {
            text += &format!("- {what}: {place}\n");
        }
    }
    text
}

/// Each task of ours with the metric that stands for it: the one published first, else our first.
pub fn headlines(figures: &[Figure]) -> Vec<(&str, &str)> {
    let ours = figures.iter().filter(|figure| figure.is_ours && !figure.is_part);
    let metric = |task: &str| {
        let of_task = || figures.iter().filter(|figure| figure.task == task);
        let published = of_task().find(|figure| !figure.is_ours);
        published.or(of_task().next()).map(|figure| figure.metric.as_str())
    };
    let tasks = distinct(ours, |figure| figure.task.as_str());
    tasks.into_iter().filter_map(|task| Some((task, metric(task)?))).collect()
}

/// One task: models down, numbers of shots across.
pub fn card_table(figures: &[Figure], task: &str, metric: &str) -> String {
    let shown = |f: &&Figure| f.task == task && f.metric == metric;
    let shown: Vec<&Figure> = figures.iter().filter(shown).collect();
    let shots = shot_counts(&shown);
    let mut models = distinct(shown.iter().copied(), |f| (f.model.as_str(), f.is_ours));
    models.sort_by_key(|(_, is_ours)| *is_ours);
    let mut text =
        format!("### {}, {}\n\n{}", task_title(task), metric_title(metric), head("model", &shots));
    for (model, is_ours) in models {
        let of_model: Vec<&Figure> =
            shown.iter().filter(|f| f.model == model && f.is_ours == is_ours).copied().collect();
        let name = if is_ours { format!("**{model}**") } else { model.to_owned() };
        text += &row(&name, &of_model, &shots);
    }
    text + &cut_notes(&shown)
}

/// Tasks and their metrics down, numbers of shots across; ours only.
pub fn all_metrics(figures: &[Figure]) -> String {
    let ours: Vec<&Figure> = figures.iter().filter(|figure| figure.is_ours).collect();
    let shots = shot_counts(&ours);
    let mut text = head("task | metric", &shots).replacen("|---", "|---|---", 1);
    for (task, metric) in distinct(ours.iter().copied(), |f| (f.task.as_str(), f.metric.as_str())) {
        let of_metric: Vec<&Figure> =
            ours.iter().filter(|f| f.task == task && f.metric == metric).copied().collect();
        text += &row(&format!("{task} | {metric}"), &of_metric, &shots);
    }
    text
}

/// `kobest_copa` as `KoBEST COPA`.
pub fn task_title(task: &str) -> String {
    const KNOWN: [(&str, &str); 14] = [
        ("kobest_boolq", "KoBEST BoolQ"),
        ("kobest_copa", "KoBEST COPA"),
        ("kobest_hellaswag", "KoBEST HellaSwag"),
        ("kobest_sentineg", "KoBEST SentiNeg"),
        ("kobest_wic", "KoBEST WiC"),
        ("kobest", "KoBEST"),
        ("nsmc", "NSMC"),
        ("arc_challenge", "ARC-Challenge"),
        ("hellaswag", "HellaSwag"),
        ("mmlu", "MMLU"),
        ("truthfulqa_mc", "TruthfulQA"),
        ("winogrande", "Winogrande"),
        ("gsm8k", "GSM8K"),
        ("drop", "DROP"),
    ];
    let known = KNOWN.iter().find(|(name, _)| *name == task);
    known.map_or(task, |(_, title)| title).to_owned()
}

/// `macro_f1` as `macro F1`.
pub fn metric_title(metric: &str) -> String {
    match metric {
        "acc" => "accuracy",
        "acc_norm" => "accuracy per character",
        "macro_f1" => "macro F1",
        "macro_f1_norm" => "macro F1 per character",
        other => other,
    }
    .to_owned()
}

fn shot_counts(figures: &[&Figure]) -> Vec<usize> {
    let mut shots = distinct(figures.iter().copied(), |figure| figure.shots);
    shots.sort_unstable();
    shots
}

fn head(first: &str, shots: &[usize]) -> String {
    let columns: String = shots.iter().map(|shots| format!(" {shots}-shot |")).collect();
    format!("| {first} |{columns}\n|---|{}\n", "---:|".repeat(shots.len()))
}

fn row(name: &str, figures: &[&Figure], shots: &[usize]) -> String {
    let cell = |shots: &usize| {
        let figure = figures.iter().find(|figure| figure.shots == *shots);
        figure.map_or_else(|| " - |".to_owned(), |figure| format!(" {} |", cell(figure)))
    };
    format!("| {name} |{}\n", shots.iter().map(cell).collect::<String>())
}

fn cell(figure: &Figure) -> String {
    let error = figure.standard_error.map_or_else(String::new, |error| format!(" ± {error:.4}"));
    let mark = if figure.cut.cut_documents > 0 { " †" } else { "" };
    format!("{:.4}{error}{mark}", figure.value)
}

/// A line for each number of shots at which prompts were cut.
fn cut_notes(figures: &[&Figure]) -> String {
    let cut = figures.iter().filter(|figure| figure.cut.cut_documents > 0);
    let notes: String =
        cut.map(|figure| cut_note(&figure.model, figure.shots, figure.cut)).collect();
    if notes.is_empty() { notes } else { format!("\n{notes}") }
}

fn cut_note(model: &str, shots: usize, cut: Cut) -> String {
    let Cut { documents, cut_documents, shots_left } = cut;
    let examples = match shots {
        0 => String::new(),
        _ => format!("; {shots_left:.1} of {shots} examples are left on the average"),
    };
    format!(
        "- † {model}, {shots}-shot: {cut_documents} of {documents} prompts do not fit into the \
         window and lost their beginning{examples}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(model: &str, metric: &str, shots: usize, value: f64) -> Figure {
        let is_ours = model == "ours";
        Figure {
            model: model.to_owned(),
            is_ours,
            task: "kobest_copa".to_owned(),
            is_part: false,
            metric: metric.to_owned(),
            shots,
            value,
            standard_error: is_ours.then_some(0.1),
            cut: Cut::default(),
        }
    }

    fn four() -> Vec<Figure> {
        let mut cut = figure("ours", "macro_f1", 5, 0.25);
        cut.cut = Cut { documents: 1000, cut_documents: 900, shots_left: 2.25 };
        vec![
            figure("ours", "acc", 0, 0.5),
            figure("ours", "macro_f1", 0, 0.5),
            cut,
            figure("theirs", "macro_f1", 0, 1.0 / 3.0),
        ]
    }

    #[test]
    fn a_task_has_models_down_and_shots_across_and_says_what_was_cut() {
        let expected = "### KoBEST COPA, macro F1\n\n\
            | model | 0-shot | 5-shot |\n\
            |---|---:|---:|\n\
            | theirs | 0.3333 | - |\n\
            | **ours** | 0.5000 ± 0.1000 | 0.2500 ± 0.1000 † |\n\n\
            - † ours, 5-shot: 900 of 1000 prompts do not fit into the window and lost their \
            beginning; 2.2 of 5 examples are left on the average\n";
        assert_eq!(card_table(&four(), "kobest_copa", "macro_f1"), expected);
    }

    #[test]
    fn the_published_metric_stands_for_a_task() {
        assert_eq!(headlines(&four()), [("kobest_copa", "macro_f1")]);
        assert_eq!(headlines(&four()[..3]), [("kobest_copa", "acc")]);
    }

    #[test]
    fn all_metrics_of_ours_stand_in_one_table() {
        let expected = "| task | metric | 0-shot | 5-shot |\n\
            |---|---|---:|---:|\n\
            | kobest_copa | acc | 0.5000 ± 0.1000 | - |\n\
            | kobest_copa | macro_f1 | 0.5000 ± 0.1000 | 0.2500 ± 0.1000 † |\n";
        assert_eq!(all_metrics(&four()), expected);
    }

    #[test]
    fn a_limited_run_says_so_before_anything_else() {
        let page = page(&four(), &[], Some(20));
        assert!(page.starts_with("> **ONLY THE FIRST 20 DOCUMENTS OF EACH TASK"), "{page}");
    }
}
