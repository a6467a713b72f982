//! Published figures of Llama-2-Ko and of the models beside it, to stand beside our own. They ship
//! with the program (`published/llama-2-ko.json` names the source of each); nothing is fetched.

use crate::figure::{Cut, Figure};
use serde::Deserialize;
use std::collections::BTreeMap;

const FILE: &str = include_str!("../published/llama-2-ko.json");

#[derive(Deserialize)]
struct Published {
    sources: Vec<Source>,
    documents: BTreeMap<String, usize>,
    rows: Vec<Row>,
}

/// Where some of the figures stand in public.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Source {
    name: String,
    /// What was published.
    pub what: String,
    /// Where.
    #[serde(rename = "where")]
    pub place: String,
    mode: String,
}

/// Source, model, task, metric, and the value at each number of shots.
#[derive(Deserialize)]
struct Row(String, String, String, String, BTreeMap<usize, f64>);

/// Every figure that was computed with the protocol called `mode`.
pub fn figures(mode: &str) -> Vec<Figure> {
    let published = read();
    let belongs = |row: &&Row| {
        published.sources.iter().any(|source| source.mode == mode && source.name == row.0)
    };
    let rows = published.rows.iter().filter(belongs);
    rows.flat_map(|row| figures_of(row, published.documents.get(&row.2).copied())).collect()
}

/// Where the figures of [`figures()`] come from.
pub fn sources(mode: &str) -> Vec<Source> {
    read().sources.into_iter().filter(|source| source.mode == mode).collect()
}

fn read() -> Published {
    serde_json::from_str(FILE).expect("the file that ships with the program is whole")
}

fn figures_of(row: &Row, documents: Option<usize>) -> Vec<Figure> {
    let Row(_, model, task, metric, values) = row;
    let figure = |(&shots, &value): (&usize, &f64)| Figure {
        model: model.clone(),
        is_ours: false,
        task: task.clone(),
        is_part: false,
        metric: metric.clone(),
        shots,
        value,
        standard_error: documents
            .filter(|_| metric.starts_with("acc"))
            .map(|documents| error_of_share(value, documents)),
        cut: Cut::default(),
    };
    values.iter().map(figure).collect()
}

/// Sample deviation / √n of `documents` zeros and ones whose mean is `share`.
fn error_of_share(share: f64, documents: usize) -> f64 {
    (share * (1.0 - share) / (documents - 1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_card_is_whole_and_apart_from_other_protocols() {
        let figures = figures("polyglot");
        let copa = |shots: usize| {
            let found = figures.iter().find(|figure| {
                figure.model.ends_with("40B tokens")
                    && (figure.task.as_str(), figure.metric.as_str()) == ("kobest_copa", "acc")
                    && figure.shots == shots
            });
            found.unwrap()
        };
        assert_eq!(copa(5).value, 0.793);
        // The standard error that the raw results have beside it.
        assert!((copa(5).standard_error.unwrap() - 0.012818553557843983).abs() < 1e-15);
        assert!(figures.iter().all(|figure| figure.task != "arc_challenge"));
        let of_four = figures.iter().filter(|figure| figure.metric == "macro_f1").count();
        assert_eq!(of_four, 3 * 4 * 4, "three models, four tasks, four numbers of shots");
        assert_eq!(sources("polyglot").len(), 2);
    }

    #[test]
    fn accuracies_of_the_card_are_shares_of_its_documents() {
        let documents = read().documents;
        for figure in figures("polyglot").iter().filter(|figure| figure.metric.starts_with("acc")) {
            let hits = figure.value * documents[&figure.task] as f64;
            assert!((hits - hits.round()).abs() < 1e-2, "{figure:?}");
        }
    }
}
