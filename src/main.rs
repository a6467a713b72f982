//! The door: parse, dispatch, exit code. 0 is done, 1 is failed, 2 is a wrong use of the command line.

#![forbid(unsafe_code)]

mod choices;
mod cli;
mod commands;
mod comparison;
mod limits;
mod plan;
mod progress;
mod recipe;
mod sample;
mod stages;
mod staging;
mod text_sample;
mod tokenizer_report;
mod usage;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::dispatch(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if reader_has_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kollama: {}", message(&error));
            let is_usage = error.is::<usage::Usage>();
            if is_usage { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// The error and its causes on one line; a cause that the message before it tells already is left out.
fn message(error: &anyhow::Error) -> String {
    error
        .chain()
        .map(ToString::to_string)
        .reduce(|told, cause| if told.contains(&cause) { told } else { format!("{told}: {cause}") })
        .unwrap_or_default()
}

/// Whoever read our output (`head`, a pager) has seen enough; that is no failure.
fn reader_has_gone(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::BrokenPipe)
}
