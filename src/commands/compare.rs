//! Two tokenizers on the same texts: a table on standard output, and a page if one is wanted.

use super::compare_page::{Page, ShownText};
use crate::stages::write_beside;
use anyhow::Result;
use kollama_corpus::documents;
use kollama_tokenizer::{Comparison, Tokenizer, pieces_of};
use std::collections::BTreeMap;
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};

/// Prints how both tokenizers write the texts and how they count over the corpora.
pub fn compare(
    names: [&Path; 2],
    texts: &[String],
    corpora: &[PathBuf],
    html: Option<&Path>,
) -> Result<()> {
    let [a, b] = names;
    let (a, b) = (Tokenizer::open(a)?, Tokenizer::open(b)?);
    let tokenizers = [&a, &b];
    let mut page = Page::new(names, tokenizers);
    let mut out = stdout().lock();
    for text in texts {
        print_text(&mut out, names, tokenizers, text)?;
        page.texts.push(ShownText::of(tokenizers, "", text));
    }
    if !corpora.is_empty() {
        writeln!(out, "{HEAD}")?;
    }
    for corpus in corpora {
        let (counts, lines) = count(tokenizers, corpus)?;
        let name = corpus.display().to_string();
        writeln!(out, "{}", row(&name, &counts))?;
        page.texts.extend(lines.iter().map(|line| ShownText::of(tokenizers, &name, line)));
        page.corpora.push((name, counts));
    }
    html.map_or(Ok(()), |html| write_beside(html, page.html()?.as_bytes()))
}

fn print_text(
    out: &mut impl Write,
    names: [&Path; 2],
    tokenizers: [&Tokenizer; 2],
    text: &str,
) -> Result<()> {
    writeln!(out, "{text}")?;
    for (name, tokenizer) in names.iter().zip(tokenizers) {
        let pieces = pieces_of(tokenizer, text);
        writeln!(out, "  {} tokens, {}: {}", pieces.len(), name.display(), pieces.join(" "))?;
    }
    Ok(())
}

const HEAD: &str = "| source | characters | tokens A | tokens B | A per character | B per character \
                    | A, s | B, s | A, MB/s | B, MB/s |\n\
                    |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|";

fn row(name: &str, counts: &Comparison) -> String {
    let Comparison { characters, tokens: [a, b], .. } = counts;
    let [share_a, share_b] = counts.tokens_per_character();
    let [seconds_a, seconds_b] = counts.times.map(|time| time.as_secs_f64());
    let [speed_a, speed_b] = counts.megabytes_per_second();
    format!(
        "| {name} | {characters} | {a} | {b} | {share_a:.3} | {share_b:.3} | {seconds_a:.2} \
         | {seconds_b:.2} | {speed_a:.1} | {speed_b:.1} |"
    )
}

/// Counts over one corpus, and some of its lines.
fn count(tokenizers: [&Tokenizer; 2], corpus: &PathBuf) -> Result<(Comparison, Vec<String>)> {
    let mut counts = Comparison::default();
    let mut sample = LineSample::default();
    for document in documents(std::slice::from_ref(corpus))? {
        let text = document?.text;
        counts.add(tokenizers, &text);
        text.lines().for_each(|line| sample.offer(line));
    }
    Ok((counts, sample.lines.into_values().collect()))
}

/// A few lines, the same for the same corpus: those whose hashes are the smallest.
#[derive(Default)]
struct LineSample {
    lines: BTreeMap<u64, String>,
}

impl LineSample {
    const LINES: usize = 3;
    /// A shorter line shows little, a longer one is cut.
    const CHARACTERS: [usize; 2] = [12, 160];

    fn offer(&mut self, line: &str) {
        let [shortest, longest] = Self::CHARACTERS;
        if line.chars().take(shortest).count() < shortest {
            return;
        }
        let hash = hash(line);
        let full = self.lines.len() == Self::LINES;
        if full && self.lines.last_key_value().is_some_and(|(&last, _)| hash >= last) {
            return;
        }
        self.lines.insert(hash, line.chars().take(longest).collect());
        if self.lines.len() > Self::LINES {
            self.lines.pop_last();
        }
    }
}

/// FNV-1a (Fowler, Noll, Vo), turned over once so that its high bits depend on all of a line.
fn hash(line: &str) -> u64 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let hash = line.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    hash.swap_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_some_different_lines_and_the_same_in_any_order() {
        let lines: Vec<String> =
            (0..50).map(|number| format!("line number {number} of a corpus")).collect();
        let mut samples = [LineSample::default(), LineSample::default()];
        lines.iter().for_each(|line| samples[0].offer(line));
        lines.iter().rev().chain(&lines).for_each(|line| samples[1].offer(line));
        assert_eq!(samples[0].lines.len(), LineSample::LINES);
        assert_eq!(samples[0].lines, samples[1].lines);
        samples[0].offer("too short");
        assert_eq!(samples[0].lines, samples[1].lines);
    }
}
