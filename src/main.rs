//! The door: parse, dispatch, exit code. 0 is done, 1 is failed, 2 is a wrong use of the command line.

#![forbid(unsafe_code)]

mod cli;
mod commands;
mod comparison;
mod plan;
mod progress;
mod recipe;
mod sample;
mod stages;
mod staging;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match commands::dispatch(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if reader_has_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kollama: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever read our output (`head`, a pager) has seen enough; that is no failure.
fn reader_has_gone(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
    kind == Some(std::io::ErrorKind::BrokenPipe)
}
