//! The splits of a data set of the leaderboard: what is scored, where its shots come from, and what
//! stands in for a train split that is not there. Reads; what a row means is the tasks' matter.

use crate::data_error::DataError;
use crate::error::HarnessError;
use crate::mode::Mode;
use crate::row_files::Split;
use crate::rows::Row;
use crate::source::{DataSource, DataSpec};
use crate::task::{Document, Drawing, Task};

/// Names of files, or of splits on the hub, under which a split is looked for.
pub type Stems<'a> = &'a [&'a str];

/// Where a data set has its splits.
pub struct Places<'a> {
    /// Folders and the hub.
    pub spec: DataSpec,
    /// What is scored, and under which name it is known: `test`, or `validation` where the answers
    /// of the test split are kept back.
    pub scored: (&'static str, Stems<'a>),
    /// Where shots come from.
    pub train: Stems<'a>,
    /// What stands in where there is no train split; else what is scored does, without the document
    /// itself.
    pub stand_in: Option<(&'static str, Stems<'a>)>,
}

/// What a task is scored on and drawn from.
pub struct Splits {
    documents: Split,
    /// None where shots are drawn from the documents.
    pool: Option<Split>,
    drawing: Drawing,
    data: Vec<(String, String)>,
}

/// Folders that hold the data set `folder`: its own, or the leaderboard's or the one around it.
pub fn spec(folder: &str, hub: &str, config: Option<&str>) -> DataSpec {
    let below = [folder.to_owned(), format!("open-llm-leaderboard/{folder}"), ".".to_owned()];
    DataSpec {
        hub: Some(hub.to_owned()),
        config: config.map(str::to_owned),
        folders: below.to_vec(),
        quotes: true,
    }
}

impl Splits {
    /// Reads both splits.
    pub fn read(
        places: &Places<'_>,
        mode: Mode,
        data: &DataSource,
    ) -> Result<Splits, HarnessError> {
        let documents = data.split(&places.spec, places.scored.1)?;
        Splits::around(documents, places, mode, data)
    }

    /// Reads the split that shots come from, where `documents` are there already.
    pub fn around(
        documents: Split,
        places: &Places<'_>,
        mode: Mode,
        data: &DataSource,
    ) -> Result<Splits, HarnessError> {
        let scored = places.scored.0;
        let mut hashes = vec![(scored.to_owned(), documents.sha256.clone())];
        let pool = match found(data.split(&places.spec, places.train))? {
            Some(train) => Some(("train".to_owned(), train)),
            None => stand_in(places, data)?,
        };
        // Today's lm-eval draws one example more and leaves out the document wherever no test split
        // is named, the train split's examples included.
        let skips_itself = pool.is_none() || (mode == Mode::LmEval && scored == "validation");
        match &pool {
            Some((name, split)) => hashes.push((name.clone(), split.sha256.clone())),
            None => hashes[0].0 += ", also in place of train",
        }
        let pool = pool.map(|(_, split)| split);
        Ok(Splits { documents, pool, drawing: Drawing::Sampled { skips_itself }, data: hashes })
    }

    /// The task of these splits; `versions` are those of the first leaderboard and of today.
    pub fn task(
        self,
        name: &str,
        mode: Mode,
        versions: [&str; 2],
        parse: impl Fn(&Row) -> Result<Document, HarnessError>,
    ) -> Result<Task, HarnessError> {
        let parsed = |split: &Split| split.rows.iter().map(&parse).collect::<Result<Vec<_>, _>>();
        let documents = parsed(&self.documents)?;
        Ok(Task {
            name: name.to_owned(),
            mode,
            version: versions[usize::from(mode == Mode::LmEval)].to_owned(),
            group: None,
            description: String::new(),
            pool: self.pool.as_ref().map_or_else(|| Ok(documents.clone()), parsed)?,
            documents,
            drawing: self.drawing,
            metrics: Vec::new(),
            data: self.data,
        })
    }
}

fn stand_in(
    places: &Places<'_>,
    data: &DataSource,
) -> Result<Option<(String, Split)>, HarnessError> {
    let Some((name, stems)) = places.stand_in else { return Ok(None) };
    let split = data.split(&places.spec, stems)?;
    Ok(Some((format!("{name}, in place of train"), split)))
}

/// A split that is nowhere is none; one that cannot be read stays an error.
fn found(split: Result<Split, HarnessError>) -> Result<Option<Split>, HarnessError> {
    match split {
        Ok(split) => Ok(Some(split)),
        Err(HarnessError::Data(DataError::MissingSplit { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}
