//! One verb, one file. Each reads its flags, calls the crates below and prints.

mod bench;
mod bench_generate;
mod bench_model;
mod bench_tokenize;
mod compare;
mod compare_page;
pub mod corpus;
mod eval;
mod eval_diff;
mod eval_report;
mod generate;
mod held;
mod learning;
mod measurement;
pub mod model;
mod peers;
mod quickstart;
mod run;
mod score;
mod serve;
mod tokenizer;
pub mod train;

use crate::cli::{Cli, Command};
use anyhow::{Context, Result, bail};
use kollama_kernels::Device;
use kollama_tokenizer::{Tokenizer, TokenizerError};
use std::io::{BufReader, Read};
use std::path::Path;

/// Bytes of input that are read ahead.
const INPUT_BUFFER: usize = 1 << 20;

/// Does what the command line says.
pub fn dispatch(cli: Cli) -> Result<()> {
    let threads = threads(cli.threads);
    let device = || Device::cpu(threads);
    match cli.command {
        Command::Quickstart(flags) => quickstart::quickstart(&flags, threads),
        Command::Run(flags) => run::run(&flags, threads),
        Command::Tokenizer(verb) => tokenizer::tokenizer(verb, threads),
        Command::Model(verb) => model::model(verb, threads),
        Command::Corpus(verb) => corpus::corpus(verb, threads),
        Command::Train(flags) => train::train(flags, &device()?),
        Command::Eval(flags) => eval::eval(&flags, &device()?),
        Command::Generate(flags) => generate::generate(&flags, &device()?),
        Command::Score(flags) => score::score(&flags, &device()?),
        Command::Bench(verb) => bench::bench(verb, cli.threads),
        Command::Serve(flags) => serve::serve(flags, &device()?),
        Command::Card(_) => not_supported("card"),
    }
}

/// What a verb that is not there yet says.
fn not_supported(verb: &str) -> Result<()> {
    bail!("`kollama {verb}` is not supported yet in version {}", env!("CARGO_PKG_VERSION"))
}

fn threads(asked: Option<u16>) -> usize {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    asked.map_or_else(all, usize::from)
}

/// The tokenizer of a model folder that may do without one; a damaged one is an error.
fn tokenizer_if_there(folder: &Path) -> Result<Option<Tokenizer>> {
    match Tokenizer::open(folder) {
        Err(TokenizerError::NoTokenizer { .. }) => Ok(None),
        // The weights of a run that goes on stand in its checkpoint; its model may be gone.
        Err(_) if !folder.exists() => Ok(None),
        found => Ok(Some(found?)),
    }
}

/// A file, or standard input for `-`, to be read line by line.
fn lines_of(input: &Path) -> Result<BufReader<Box<dyn Read>>> {
    if input == Path::new("-") {
        return Ok(BufReader::with_capacity(INPUT_BUFFER, Box::new(std::io::stdin())));
    }
    let file = std::fs::File::open(input)
        .with_context(|| format!("cannot open the input {}", input.display()))?;
    Ok(BufReader::with_capacity(INPUT_BUFFER, Box::new(file)))
}

/// Line `number` of `input`, for the beginning of an error.
fn place(input: &Path, number: usize) -> String {
    let name =
        if input == Path::new("-") { "standard input".into() } else { input.display().to_string() };
    format!("{name}, line {number}")
}
