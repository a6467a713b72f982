//! Two runs side by side: one table of what they asked and one of what came of it.

use anyhow::Result;
use kollama_harness::difference::{
    Difference, MetricDifference, differences, settings_that_differ,
};
use serde_json::json;
use std::io::{Write, stdout};
use std::path::Path;

/// Prints how the runs in the folders `a` and `b` differ.
pub fn diff(a: &Path, b: &Path, as_json: bool) -> Result<()> {
    let differences = differences(a, b)?;
    let settings = settings_that_differ(a, b)?;
    let mut out = stdout().lock();
    if as_json {
        let (a, b) = (a.display().to_string(), b.display().to_string());
        writeln!(out, "{}", json!({ "a": a, "b": b, "settings": settings, "tasks": differences }))?;
        return Ok(());
    }
    writeln!(out, "A is {}, B is {}; counts are of documents.", a.display(), b.display())?;
    for (name, a, b) in &settings {
        writeln!(out, "Their {name} differs: {a} and {b}.")?;
    }
    writeln!(out)?;
    writeln!(
        out,
        "| task | in both | only A | only B | other texts | other ids | log-likelihoods apart: \
         greatest | mean | other predictions |"
    )?;
    writeln!(out, "|---|---:|---:|---:|---:|---:|---:|---:|---:|")?;
    for difference in &differences {
        writeln!(out, "{}", asked(difference))?;
    }
    writeln!(out, "\n| task | metric | A | B | B - A | standard error | 95 % of resamples |")?;
    writeln!(out, "|---|---|---:|---:|---:|---:|---:|")?;
    for difference in &differences {
        for metric in &difference.metrics {
            writeln!(out, "{}", came_to(difference, metric))?;
        }
    }
    for difference in differences.iter().filter(|difference| difference.changed > 0) {
        write!(out, "{}", changed(difference))?;
    }
    Ok(())
}

fn name(difference: &Difference) -> String {
    let shots = difference.shots.map_or_else(String::new, |shots| format!(" {shots}-shot"));
    let filter = match difference.filter.as_str() {
        "none" => String::new(),
        filter => format!(" {filter}"),
    };
    format!("{}{shots}{filter}", difference.task)
}

fn asked(of: &Difference) -> String {
    let ids = of.other_ids.map_or_else(|| "?".to_owned(), |count| count.to_string());
    format!(
        "| {} | {} | {} | {} | {} | {ids} | {:.1e} | {:.1e} | {} |",
        name(of),
        of.documents,
        of.only_in_a,
        of.only_in_b,
        of.other_texts,
        of.greatest_logprob_difference,
        of.mean_logprob_difference,
        of.changed,
    )
}

fn came_to(of: &Difference, metric: &MetricDifference) -> String {
    let error = metric.standard_error.map_or_else(|| "-".to_owned(), |error| format!("{error:.4}"));
    let interval = metric
        .interval
        .map_or_else(|| "-".to_owned(), |[low, high]| format!("{low:+.4} to {high:+.4}"));
    format!(
        "| {} | {} | {:.4} | {:.4} | {:+.4} | {error} | {interval} |",
        name(of),
        metric.metric,
        metric.a,
        metric.b,
        metric.difference,
    )
}

fn changed(of: &Difference) -> String {
    let named = of.changed_documents.iter().map(|(id, a, b)| format!("{id} ({a} → {b})"));
    let named = named.collect::<Vec<_>>().join(", ");
    let more = of.changed - of.changed_documents.len();
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("\n{}: other predictions for documents {named}{more}.\n", name(of))
}
