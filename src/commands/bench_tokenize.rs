//! How fast texts become ids: by our encoder, and beside it, where a script runs them, by others.
//!
//! A text is dealt out to as many turns as there are repeats and one to warm up; in each turn every
//! side encodes the same documents, from memory. So no side meets a text twice: some remember whole
//! documents, and would only be asked whether they do. Ids are compared document by document; a
//! side whose ids differ is shown as such and is no measure. How a peer is called is the script's.

use super::peers::{Ids, Peer};
use crate::choices::DocumentSize;
use crate::cli::BenchTokenize;
use anyhow::Result;
use kollama_corpus::documents;
use kollama_tokenizer::Tokenizer;
use serde_json::{Value, json};
use std::io::{Write, stdout};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Measures what the flags ask for and prints it.
pub fn bench_tokenize(flags: &BenchTokenize, device: &str, threads: usize) -> Result<()> {
    let asked: Vec<Option<DocumentSize>> = flags.document_size.iter().copied().map(Some).collect();
    let sizes = if asked.is_empty() { vec![None] } else { asked };
    let mut rows = Vec::new();
    for path in &flags.corpus {
        let texts = read(path)?;
        for &size in &sizes {
            let turns = deal(&texts, usize::from(flags.output.repeats) + 1);
            let turns = turns.iter().map(|texts| cut(texts, size)).collect();
            let cell = Cell { text: name_of(path), size, turns };
            let lacks = cell.turns.iter().any(|documents| bytes_of(documents) == 0);
            anyhow::ensure!(!lacks, "{}: too few lines for every repeat", path.display());
            rows.push(measure(cell, flags, threads)?);
        }
    }
    let worst = if flags.worst { measure_worst(flags, threads, &rows)? } else { Vec::new() };
    match flags.output.json {
        true => writeln!(stdout(), "{}", to_json(&rows, &worst, device, threads))?,
        false => print(&rows, &worst, device, threads)?,
    }
    Ok(())
}

/// One text at one size of document.
struct Cell {
    text: String,
    size: Option<DocumentSize>,
    /// The documents of each turn.
    turns: Vec<Vec<String>>,
}

impl Cell {
    fn documents(&self) -> usize {
        self.turns.iter().map(Vec::len).sum()
    }

    fn bytes(&self) -> usize {
        self.turns.iter().map(|documents| bytes_of(documents)).sum()
    }

    fn size_name(&self) -> &'static str {
        self.size.map_or("as it stands", DocumentSize::name)
    }
}

/// What was measured of one cell.
struct Row {
    cell: Cell,
    tokens: usize,
    ours: Speed,
    /// Name and version of each; no speed where it failed.
    peers: Vec<(String, Option<Speed>)>,
}

/// How one side fared, turn by turn.
#[derive(Default)]
struct Speed {
    /// MB/s; the first turn warms up.
    rates: Vec<f64>,
    /// Documents with other ids than ours.
    differing: usize,
}

impl Speed {
    fn median(&self) -> f64 {
        median(self.rates[1..].to_vec())
    }
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    name.split('.').next().unwrap_or_default().to_owned()
}

fn read(path: &PathBuf) -> Result<Vec<String>> {
    let documents = documents(std::slice::from_ref(path))?;
    let texts: Vec<String> =
        documents.map(|document| document.map(|d| d.text)).collect::<Result<_, _>>()?;
    anyhow::ensure!(!texts.is_empty(), "{}: holds no document", path.display());
    Ok(texts)
}

/// Deals texts out like cards, so that every turn gets of every kind; of too few, some turns are one.
fn deal(texts: &[String], turns: usize) -> Vec<Vec<String>> {
    let hands = turns.min(texts.len());
    let hand = |first| texts.iter().skip(first).step_by(hands).cloned().collect();
    (0..hands).map(hand).collect()
}

/// Documents of about one size: whole lines, joined while they fit; a longer line stays whole.
///
/// Lines that are empty or hold a literal special piece are left out: there the references
/// themselves disagree.
fn cut(texts: &[String], size: Option<DocumentSize>) -> Vec<String> {
    let Some(size) = size else {
        return texts.to_vec();
    };
    let special = |line: &&str| ["<s>", "</s>", "<unk>"].iter().any(|piece| line.contains(piece));
    let lines = texts.iter().flat_map(|text| text.lines());
    let mut documents: Vec<String> = Vec::new();
    for line in lines.filter(|line| !line.is_empty() && !special(line)) {
        match documents.last_mut().filter(|last| last.len() + 1 + line.len() <= size.bytes()) {
            Some(last) => {
                last.push('\n');
                last.push_str(line);
            }
            None => documents.push(line.to_owned()),
        }
    }
    documents
}

fn bytes_of(documents: &[String]) -> usize {
    documents.iter().map(String::len).sum()
}

fn measure(cell: Cell, flags: &BenchTokenize, threads: usize) -> Result<Row> {
    // Opened anew for each cell: no side has seen the text.
    let tokenizer = Tokenizer::open(&flags.tokenizer)?;
    let mut peers = match &flags.against {
        Some(script) => Peer::all(script, &flags.tokenizer, threads)?,
        None => Vec::new(),
    };
    let mut ours = Speed::default();
    let mut theirs: Vec<Speed> = peers.iter().map(|_| Speed::default()).collect();
    let mut tokens = 0;
    for turn in 0..=usize::from(flags.output.repeats) {
        let documents = &cell.turns[turn % cell.turns.len()];
        let megabytes = bytes_of(documents) as f64 * 1e-6;
        let (ids, seconds) = encode(&tokenizer, documents, threads);
        ours.rates.push(megabytes / seconds);
        tokens += if turn < cell.turns.len() { ids.ids.len() } else { 0 };
        for (peer, speed) in peers.iter_mut().zip(&mut theirs) {
            if let Some((found, seconds)) = peer.encode(documents) {
                speed.rates.push(megabytes / seconds);
                speed.differing += found.differing(&ids);
            }
        }
    }
    let finished = |(peer, speed): (Peer, Speed)| {
        let is_whole = speed.rates.len() == ours.rates.len();
        (peer.into_name(), is_whole.then_some(speed))
    };
    let peers = peers.into_iter().zip(theirs).map(finished).collect();
    Ok(Row { cell, tokens, ours, peers })
}

/// The ids of all documents, and the seconds that took.
fn encode(tokenizer: &Tokenizer, documents: &[String], threads: usize) -> (Ids, f64) {
    let began = Instant::now();
    let encoded = tokenizer.encode_batch(documents, threads);
    let seconds = began.elapsed().as_secs_f64();
    (Ids::of(encoded.iter()), seconds)
}

/// Bytes of a text that is hard.
const WORST_BYTES: usize = 10_000_000;

/// Emoji of one and of several characters.
const EMOJI: [&str; 8] = ["😀", "🚀", "❤️", "👍🏽", "🇰🇷", "👩‍👩‍👧‍👦", "🎉", "🏳️‍🌈"];

/// A text that is hard.
struct Hard {
    name: String,
    rate: f64,
    /// Time a byte takes, in times of a byte of the texts before.
    times: f64,
}

fn measure_worst(flags: &BenchTokenize, threads: usize, normal: &[Row]) -> Result<Vec<Hard>> {
    let normal = overall_rate(normal);
    let mut hard = Vec::new();
    for (name, document) in hard_texts(flags)? {
        let mut rates = Vec::new();
        for _ in 0..flags.output.repeats {
            let tokenizer = Tokenizer::open(&flags.tokenizer)?;
            let (_, seconds) = encode(&tokenizer, std::slice::from_ref(&document), threads);
            rates.push(document.len() as f64 * 1e-6 / seconds);
        }
        let rate = median(rates);
        hard.push(Hard { name, rate, times: normal / rate });
    }
    Ok(hard)
}

/// MB/s over rows of different sizes.
fn overall_rate(rows: &[Row]) -> f64 {
    let bytes = || rows.iter().map(|row| row.cell.bytes() as f64);
    let times = bytes().zip(rows).map(|(bytes, row)| bytes / row.ours.median());
    bytes().sum::<f64>() / times.sum::<f64>()
}

fn hard_texts(flags: &BenchTokenize) -> Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for path in &flags.corpus {
        let bare = read(path)?.concat().chars().filter(|c| !c.is_whitespace()).collect();
        texts.push((format!("{} without blanks", name_of(path)), up_to(bare, WORST_BYTES)));
    }
    let one = |name: &str, what: &str| {
        (name.to_owned(), up_to(what.repeat(WORST_BYTES / what.len() + 1), WORST_BYTES))
    };
    let single = [("one syllable", "가"), ("one letter", "a"), ("blanks", " ")];
    texts.extend(single.map(|(name, what)| one(name, what)));
    texts.push(one("emoji", &EMOJI.concat()));
    Ok(texts)
}

fn up_to(mut text: String, bytes: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes));
    text
}

impl Row {
    /// How many times as fast we are as the fastest peer whose ids are ours in every document.
    fn ratio(&self) -> Option<f64> {
        let peers = self.peers.iter().filter_map(|(_, speed)| speed.as_ref());
        let exact = peers.filter(|speed| speed.differing == 0);
        Some(self.ours.median() / exact.map(Speed::median).max_by(f64::total_cmp)?)
    }
}

fn print(rows: &[Row], worst: &[Hard], device: &str, threads: usize) -> Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "MB/s, medians, threads: {threads}, {device}\n")?;
    let names: Vec<&str> = rows[0].peers.iter().map(|(name, _)| name.as_str()).collect();
    let header = [&["text", "document", "MB", "kollama"][..], &names].concat();
    writeln!(out, "| {} | ours / fastest exact |", header.join(" | "))?;
    writeln!(out, "|---|---|{}", "---:|".repeat(header.len() - 1))?;
    for row in rows {
        let mut cells = vec![row.cell.text.clone(), row.cell.size_name().into()];
        cells.extend(
            [row.cell.bytes() as f64 * 1e-6, row.ours.median()]
                .map(|number| format!("{number:.1}")),
        );
        cells.extend(row.peers.iter().map(|(_, speed)| shown(speed.as_ref())));
        cells.push(row.ratio().map_or("–".into(), |ratio| format!("{ratio:.2}")));
        writeln!(out, "| {} |", cells.join(" | "))?;
    }
    if !worst.is_empty() {
        writeln!(out, "\n| hard text | kollama | time of a byte / that of the texts above |")?;
        writeln!(out, "|---|---:|---:|")?;
    }
    for Hard { name, rate, times } in worst {
        writeln!(out, "| {name} | {rate:.1} | {times:.2} |")?;
    }
    Ok(())
}

/// MB/s; in brackets, with how many documents differ, where that is no measure.
fn shown(speed: Option<&Speed>) -> String {
    match speed {
        None => "–".into(),
        Some(speed) if speed.differing == 0 => format!("{:.1}", speed.median()),
        Some(speed) => format!("({:.1}; {} differ)", speed.median(), speed.differing),
    }
}

fn to_json(rows: &[Row], worst: &[Hard], device: &str, threads: usize) -> Value {
    let sum = |part: fn(&Row) -> usize| rows.iter().map(part).sum::<usize>();
    let hard = |hard: &Hard| {
        let Hard { name, rate, times } = hard;
        json!({ "text": name, "mb_per_second": rate, "times_the_time_of_a_byte": times })
    };
    json!({
        "documents": sum(|row| row.cell.documents()),
        "bytes": sum(|row| row.cell.bytes()),
        "tokens": sum(|row| row.tokens),
        "threads": threads,
        "mb_per_second": overall_rate(rows),
        "device": device,
        "cells": rows.iter().map(row_to_json).collect::<Vec<_>>(),
        "worst": worst.iter().map(hard).collect::<Vec<_>>(),
    })
}

fn row_to_json(row: &Row) -> Value {
    let peer = |(name, speed): &(String, Option<Speed>)| {
        json!({
            "name": name,
            "mb_per_second": speed.as_ref().map(Speed::median),
            "turns": speed.as_ref().map(|speed| &speed.rates),
            "documents_that_differ": speed.as_ref().map(|speed| speed.differing),
        })
    };
    json!({
        "text": row.cell.text,
        "document_size": row.cell.size_name(),
        "documents": row.cell.documents(),
        "bytes": row.cell.bytes(),
        "tokens": row.tokens,
        "mb_per_second": row.ours.median(),
        "turns": row.ours.rates,
        "peers": row.peers.iter().map(peer).collect::<Vec<_>>(),
        "ratio_to_fastest_exact": row.ratio(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(of: &[&str]) -> Vec<String> {
        of.iter().map(|text| text.to_string()).collect()
    }

    #[test]
    fn every_turn_gets_other_texts_and_none_is_lost() {
        let turns = deal(&texts(&["a", "b", "c", "d", "e"]), 2);
        assert_eq!(turns, [texts(&["a", "c", "e"]), texts(&["b", "d"])]);
        assert_eq!(deal(&texts(&["a"]), 6), [texts(&["a"])]);
    }

    #[test]
    fn lines_are_joined_while_they_fit_and_never_cut() {
        let long = "x".repeat(5000);
        let text = [&"ab\n".repeat(2000), long.as_str(), "\n\nend\nsome </s>\n"].concat();
        let lines = cut(&texts(&[&text]), Some(DocumentSize::Line));
        assert_eq!(lines.len(), 2002);
        let documents = cut(&texts(&[&text]), Some(DocumentSize::Kib4));
        assert_eq!(documents.concat().replace('\n', ""), lines.concat());
        let lengths: Vec<usize> = documents.iter().map(String::len).collect();
        assert_eq!(lengths, [4094, 1904, 5000, 3]);
        assert_eq!(cut(&texts(&[&text]), Some(DocumentSize::Whole)).len(), 1);
        assert_eq!(cut(&texts(&[&text]), None), [text]);
    }

    #[test]
    fn a_peer_with_other_ids_is_no_measure() {
        let speed = |rate: f64, differing| Some(Speed { rates: vec![0.0, rate], differing });
        let row = Row {
            cell: Cell { text: "text".into(), size: None, turns: Vec::new() },
            tokens: 1,
            ours: Speed { rates: vec![0.0, 6.0], differing: 0 },
            peers: vec![
                ("wrong".into(), speed(9.0, 1)),
                ("slow".into(), speed(1.0, 0)),
                ("fast".into(), speed(3.0, 0)),
                ("fell over".into(), None),
            ],
        };
        assert_eq!(row.ratio(), Some(2.0));
        let shown: Vec<String> = row.peers.iter().map(|(_, speed)| shown(speed.as_ref())).collect();
        assert_eq!(shown, ["(9.0; 1 differ)", "1.0", "3.0", "–"]);
    }

    #[test]
    fn hard_texts_end_at_a_character() {
        assert_eq!(up_to("가가".into(), 5), "가");
        assert!(EMOJI.iter().any(|emoji| emoji.chars().count() > 1));
    }
}
