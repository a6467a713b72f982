//! Learn a tokenizer from texts: from nothing, or on top of another.

use crate::choices::YesOrNo;
use crate::cli::PieceRules;
use crate::progress::{Progress, Unit};
use crate::staging::{must_be_free, staged};
use crate::text_sample::{Sample, Samples};
use crate::tokenizer_report::{self, Results, Settings};
use anyhow::{Context, Result};
use kollama_corpus::documents;
use kollama_tokenizer::{
    Extension, LearnOptions, LearnRules, Tokenizer, WeightedText, learn_with_progress,
    train_with_progress,
};
use std::path::{Path, PathBuf};

/// Share of the characters of the texts that single pieces must cover.
const COVERAGE: f64 = 0.9995;

/// How much more a smaller file counts: one a thousand times smaller than the largest, 1.6 times.
const BALANCE: f64 = 0.07;

/// The rules that flags ask for.
pub fn rules(flags: &PieceRules, threads: usize) -> LearnRules {
    LearnRules {
        min_frequency: flags.min_frequency,
        max_piece_length: flags.max_piece_length.into(),
        cross_space: flags.pieces_may_cross_space == YesOrNo::Yes,
        threads,
        ..LearnRules::default()
    }
}

/// Learns a tokenizer from nothing and writes its folder.
pub fn train(corpus: &[PathBuf], vocab_size: usize, rules: &LearnRules, out: &Path) -> Result<()> {
    must_be_free(out)?;
    let (trained, samples) = learning(corpus, vocab_size, |texts, progress| {
        train_with_progress(texts, vocab_size, COVERAGE, rules, progress)
    })?;
    let tokenizer = &trained.tokenizer;
    let learned = trained
        .learned
        .pieces
        .iter()
        .filter_map(|piece| Some((tokenizer.id_of(&piece.text)?, piece.text.chars().count())));
    let mut new_pieces: Vec<_> = learned.collect();
    new_pieces.sort_unstable();
    let results = Results {
        settings: settings("train", vocab_size, rules),
        base: None,
        tokenizer,
        learned: &trained.learned,
        new_pieces,
        unreachable: 0,
        samples: &samples,
    };
    save(tokenizer, results, out)?;
    eprintln!("{}: {} ids", out.display(), tokenizer.vocab_size());
    Ok(())
}

/// Grows a tokenizer and writes its folder.
pub fn extend(
    base_folder: &Path,
    corpus: &[PathBuf],
    vocab_size: usize,
    script: &str,
    rules: &LearnRules,
    out: &Path,
) -> Result<()> {
    must_be_free(out)?;
    let base = Tokenizer::open(base_folder)?;
    let new_pieces = vocab_size.checked_sub(base.vocab_size()).filter(|&new| new > 0);
    let new_pieces = new_pieces.with_context(|| {
        format!("--vocab-size {vocab_size} must be more than the base's {}", base.vocab_size())
    })?;
    let (script, rules) = (script.to_owned(), rules.clone());
    let options = LearnOptions { new_pieces, script, coverage: COVERAGE, rules };
    let (learned, samples) = learning(corpus, new_pieces, |texts, progress| {
        learn_with_progress(&base, texts, &options, progress)
    })?;
    let extension = kollama_tokenizer::extend(&base, &learned, vocab_size)?;
    let settings = Settings {
        base: Some(base_folder.display().to_string()),
        script: Some(options.script),
        ..settings("extend", vocab_size, &options.rules)
    };
    let ids = base.vocab_size() as u32..;
    let results = Results {
        settings,
        base: Some(&base),
        tokenizer: &extension.tokenizer,
        learned: &learned,
        new_pieces: ids.zip(extension.made_of.iter().map(Vec::len)).collect(),
        unreachable: extension.unreachable.len(),
        samples: &samples,
    };
    save(&extension.tokenizer, results, out)?;
    say_extension(&base, &extension, out);
    Ok(())
}

fn settings(command: &'static str, vocab_size: usize, rules: &LearnRules) -> Settings {
    Settings {
        command,
        base: None,
        script: None,
        vocab_size,
        character_coverage: COVERAGE,
        min_frequency: rules.min_frequency,
        max_piece_length: rules.max_piece_length,
        pieces_may_cross_space: rules.cross_space,
    }
}

fn save(tokenizer: &Tokenizer, results: Results, out: &Path) -> Result<()> {
    staged(out, |folder| {
        tokenizer.save(folder)?;
        tokenizer_report::write(results, folder)
    })
}

fn say_extension(base: &Tokenizer, extension: &Extension, out: &Path) {
    let count = extension.made_of.len();
    let pieces: usize = extension.made_of.iter().map(Vec::len).sum();
    eprintln!(
        "{}: {} ids, {} of them new; a new piece stands for {:.2} old ones on average",
        out.display(),
        base.vocab_size() + count,
        count,
        pieces as f64 / count as f64
    );
}

/// Hands the texts of a corpus to `learn`, with progress for both parts of the work; beside what
/// was learned, a sample of each file.
fn learning<T>(
    corpus: &[PathBuf],
    wanted: usize,
    learn: impl FnOnce(
        &mut dyn Iterator<Item = Result<WeightedText>>,
        &mut dyn FnMut(usize),
    ) -> Result<T>,
) -> Result<(T, Vec<Sample>)> {
    let mut documents = documents(corpus)?;
    let mut samples = Samples::default();
    let mut reading = Some(Progress::new("reading", documents.bytes_total(), Unit::Bytes));
    let mut texts = std::iter::from_fn(|| {
        let Some(document) = documents.next() else {
            if let Some(reading) = reading.take() {
                reading.finish("");
            }
            return None;
        };
        if let Some(reading) = &mut reading {
            reading.at(documents.bytes_read(), "");
        }
        let document = document.inspect(|document| samples.add(document));
        let weight = weight(documents.file_bytes(), documents.largest_file());
        let weighted = document.map(|document| WeightedText::new(document.text, weight));
        Some(weighted.map_err(anyhow::Error::from))
    });
    let mut making = None;
    let mut heard = |pieces| {
        let new = || Progress::new("learning", wanted as u64, Unit::Items);
        making.get_or_insert_with(new).at(pieces as u64, "");
    };
    let learned = learn(&mut texts, &mut heard)?;
    if let Some(making) = making {
        making.finish("");
    }
    Ok((learned, samples.finish()))
}

/// What a text counts by the size of its file. A large file would otherwise have nearly all pieces
/// to itself, though its last ones save it less than they would save the others.
fn weight(bytes: u64, largest: u64) -> f64 {
    (largest as f64 / bytes.max(1) as f64).powf(BALANCE)
}
