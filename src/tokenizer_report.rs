//! What was learned, in two files beside a tokenizer: `tokenizer_report.md` to read and
//! `tokenizer_report.json` with the same facts. Nothing else reads them.

use crate::stages::write_beside;
use crate::text_sample::Sample;
use anyhow::Result;
use kollama_tokenizer::{Learned, Tokenizer};
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;

/// Pieces shown at each end of the list.
const SHOWN: usize = 50;

/// The flags that decided what was learned.
#[derive(Serialize)]
pub struct Settings {
    /// `train` or `extend`
    pub command: &'static str,
    pub base: Option<String>,
    pub script: Option<String>,
    pub vocab_size: usize,
    pub character_coverage: f64,
    pub min_frequency: u64,
    pub max_piece_length: usize,
    pub pieces_may_cross_space: bool,
}

/// What a report is made from.
pub struct Results<'a> {
    pub settings: Settings,
    pub base: Option<&'a Tokenizer>,
    pub tokenizer: &'a Tokenizer,
    pub learned: &'a Learned,
    /// For each piece its id and how many tokens its text took without it, the lowest id first.
    pub new_pieces: Vec<(u32, usize)>,
    /// Pieces that were learned and fell away.
    pub unreachable: usize,
    pub samples: &'a [Sample],
}

#[derive(Serialize)]
struct Report {
    settings: Settings,
    corpus: Corpus,
    coverage: Coverage,
    reachability: Reachability,
    sources: Vec<Source>,
    most_useful: Vec<Useful>,
    least_useful: Vec<Useful>,
}

/// The words and characters that were counted.
#[derive(Serialize)]
struct Corpus {
    characters: u64,
    distinct_words: usize,
    words_dropped: u64,
    largest_undercount: u64,
}

/// Share of the characters that have a piece of their own.
#[derive(Serialize)]
struct Coverage {
    before: Option<f64>,
    after: f64,
    distinct_characters: usize,
    of_them_as_bytes: usize,
}

#[derive(Serialize)]
struct Reachability {
    new_pieces: usize,
    reached: usize,
    fell_away: usize,
}

/// One file, from a sample of it.
#[derive(Serialize)]
struct Source {
    file: String,
    sampled_characters: usize,
    tokens_per_character_before: Option<f64>,
    tokens_per_character_after: f64,
}

/// A piece and what it is worth.
#[derive(Clone, Serialize)]
struct Useful {
    id: u32,
    piece: String,
    uses: u64,
    tokens_saved: u64,
}

/// Writes both files into the folder of the tokenizer.
pub fn write(results: Results, folder: &Path) -> Result<()> {
    let report = report(results);
    write_beside(&folder.join("tokenizer_report.md"), report.to_markdown()?.as_bytes())?;
    write_beside(&folder.join("tokenizer_report.json"), &serde_json::to_vec_pretty(&report)?)
}

fn report(results: Results) -> Report {
    let Results { base, tokenizer, learned, new_pieces, .. } = &results;
    let counted = learned.counted;
    let mut useful = usefulness(tokenizer, learned, new_pieces);
    useful.sort_by_key(|piece| (std::cmp::Reverse(piece.tokens_saved), piece.id));
    Report {
        corpus: Corpus {
            characters: counted.characters,
            distinct_words: counted.words,
            words_dropped: counted.words_dropped,
            largest_undercount: counted.largest_undercount,
        },
        coverage: Coverage {
            before: base.map(|base| coverage(base, learned)),
            after: coverage(tokenizer, learned),
            distinct_characters: learned.characters.len(),
            of_them_as_bytes: as_bytes(tokenizer, learned).count(),
        },
        reachability: Reachability {
            new_pieces: new_pieces.len(),
            reached: new_pieces.iter().filter(|(id, _)| is_reached(tokenizer, *id)).count(),
            fell_away: results.unreachable,
        },
        sources: sources(*base, tokenizer, results.samples),
        most_useful: useful.iter().take(SHOWN).cloned().collect(),
        least_useful: useful.iter().rev().take(SHOWN).cloned().collect(),
        settings: results.settings,
    }
}

fn as_bytes<'a>(
    tokenizer: &'a Tokenizer,
    learned: &'a Learned,
) -> impl Iterator<Item = (char, u64)> + 'a {
    let has_none = |&(character, _): &(char, u64)| {
        tokenizer.id_of(character.encode_utf8(&mut [0; 4])).is_none()
    };
    learned.characters.iter().copied().filter(has_none)
}

fn coverage(tokenizer: &Tokenizer, learned: &Learned) -> f64 {
    let missing: u64 = as_bytes(tokenizer, learned).map(|(_, count)| count).sum();
    1.0 - missing as f64 / learned.counted.characters.max(1) as f64
}

/// Whether its own text is encoded as this piece.
fn is_reached(tokenizer: &Tokenizer, id: u32) -> bool {
    let text = tokenizer.piece(id).unwrap_or_default().replace('▁', " ");
    // A line end joins with nothing and keeps the blank before a text away.
    tokenizer.encode_to_vec(&format!("\n{text}")).last() == Some(&id)
}

fn usefulness(tokenizer: &Tokenizer, learned: &Learned, new: &[(u32, usize)]) -> Vec<Useful> {
    let pieces = learned.pieces.iter().filter_map(|piece| {
        let id = tokenizer.id_of(&piece.text)?;
        let at = new.binary_search_by_key(&id, |&(id, _)| id).ok()?;
        let tokens_saved = piece.uses * new[at].1.saturating_sub(1) as u64;
        Some(Useful { id, piece: piece.text.clone(), uses: piece.uses, tokens_saved })
    });
    pieces.collect()
}

fn sources(base: Option<&Tokenizer>, tokenizer: &Tokenizer, samples: &[Sample]) -> Vec<Source> {
    let source = |sample: &Sample| {
        let texts = sample.texts.iter();
        let characters = texts.clone().map(|text| text.chars().count()).sum();
        let share = |tokenizer: &Tokenizer| {
            let tokens = texts.clone().map(|text| tokenizer.encode_to_vec(text).len());
            tokens.sum::<usize>() as f64 / usize::max(characters, 1) as f64
        };
        Source {
            file: sample.name.clone(),
            sampled_characters: characters,
            tokens_per_character_before: base.map(share),
            tokens_per_character_after: share(tokenizer),
        }
    };
    samples.iter().map(source).collect()
}

impl Report {
    fn to_markdown(&self) -> Result<String> {
        let mut out = String::new();
        let Report { settings, corpus, coverage, reachability, .. } = self;
        writeln!(out, "# A tokenizer of {} pieces\n", settings.vocab_size)?;
        writeln!(out, "| setting | |\n|---|---|")?;
        for (name, value) in settings.rows() {
            writeln!(out, "| {name} | {value} |")?;
        }
        writeln!(out, "\n## Learned from")?;
        writeln!(
            out,
            "{} characters in {} distinct words. Words dropped to keep within memory: {}; a count \
             may be too low by at most {}.",
            corpus.characters,
            corpus.distinct_words,
            corpus.words_dropped,
            corpus.largest_undercount
        )?;
        writeln!(out, "\n## Characters with a piece of their own")?;
        let before =
            coverage.before.map_or(String::new(), |share| format!(" (before: {share:.5})"));
        writeln!(
            out,
            "{:.5} of all{before}; {} of {} distinct ones are written as bytes.",
            coverage.after, coverage.of_them_as_bytes, coverage.distinct_characters
        )?;
        writeln!(out, "\n## Reached")?;
        writeln!(
            out,
            "{} of {} new pieces are what their own text is encoded as; {} learned ones could not \
             be reached or would have changed what the base makes, and gave way to the next.",
            reachability.reached, reachability.new_pieces, reachability.fell_away
        )?;
        self.write_sources(&mut out)?;
        writeln!(
            out,
            "\nTokens saved: how often a piece stands in the texts, times the tokens its text would \
             take without any new piece, less one."
        )?;
        write_pieces(&mut out, "The most useful new pieces", &self.most_useful)?;
        write_pieces(&mut out, "The least useful new pieces", &self.least_useful)?;
        Ok(out)
    }

    fn write_sources(&self, out: &mut String) -> Result<()> {
        writeln!(out, "\n## Tokens a character, by source")?;
        writeln!(
            out,
            "From a sample: of each file the first 4 KB of up to 32 documents at even distances. Each \
             is encoded as one text, so its second line and those after begin without a `▁`; lines \
             that a model will see one by one may take more tokens or fewer. A `.txt` file is one \
             document.\n"
        )?;
        writeln!(out, "| source | characters | before | after |\n|---|---:|---:|---:|")?;
        for source in &self.sources {
            let before = source.tokens_per_character_before;
            writeln!(
                out,
                "| {} | {} | {} | {:.3} |",
                source.file,
                source.sampled_characters,
                before.map_or("–".to_owned(), |share| format!("{share:.3}")),
                source.tokens_per_character_after
            )?;
        }
        Ok(())
    }
}

fn write_pieces(out: &mut String, title: &str, pieces: &[Useful]) -> Result<()> {
    writeln!(out, "\n## {title}\n| piece | id | uses | tokens saved |\n|---|---:|---:|---:|")?;
    for Useful { id, piece, uses, tokens_saved } in pieces {
        writeln!(out, "| {} | {id} | {uses} | {tokens_saved} |", code(piece))?;
    }
    Ok(())
}

/// A piece as it stands, in a cell of a table.
fn code(piece: &str) -> String {
    if !piece.contains(['|', '`']) {
        return format!("`{piece}`");
    }
    let escaped: String = piece.chars().map(|c| format!("&#{};", u32::from(c))).collect();
    format!("<code>{escaped}</code>")
}

impl Settings {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let named = [("base", &self.base), ("script", &self.script)];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
        let others = [
            ("character coverage", self.character_coverage.to_string()),
            ("least frequency", self.min_frequency.to_string()),
            ("longest piece", self.max_piece_length.to_string()),
            ("over blanks", if self.pieces_may_cross_space { "yes" } else { "no" }.to_owned()),
        ];
        named.chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn a_piece_ends_neither_its_cell_nor_its_code() {
        assert_eq!(code("▁a<b>"), "`▁a<b>`");
        assert_eq!(code("|`"), "<code>&#124;&#96;</code>");
    }
}
