//! The embedded sample: Korean and English texts written for this project, and the recipe that
//! learns from them.

use anyhow::{Context, Result};
use std::fs;
use std::path::Path;

macro_rules! embedded {
    ($($path:literal)*) => {
        [$(($path, include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/", $path)))),*]
    };
}

/// Path in the project and text of every file.
#[rustfmt::skip]
const FILES: [(&str, &str); 34] = embedded![
    "recipes/quickstart.toml"
    "assets/sample/config.json"
    "assets/sample/english/01-harbour-morning.txt"
    "assets/sample/english/02-why-bread-rises.txt"
    "assets/sample/english/03-two-sisters-and-a-piano.txt"
    "assets/sample/english/04-letter-from-the-observatory.txt"
    "assets/sample/english/05-the-final-at-coldwater-road.txt"
    "assets/sample/english/06-the-clockmaker-and-the-frost.txt"
    "assets/sample/english/07-town-council-votes-on-the-bridge.txt"
    "assets/sample/english/08-learning-to-say-it.txt"
    "assets/sample/english/09-soup-for-the-first-cold-day.txt"
    "assets/sample/english/10-diary-of-a-night-warden.txt"
    "assets/sample/english/12-the-salt-road.txt"
    "assets/sample/english/13-three-days-in-a-city-of-stairs.txt"
    "assets/sample/english/15-reviews-from-a-small-theatre.txt"
    "assets/sample/english/16-lunch-hour-at-the-workshop.txt"
    "assets/sample/held-out/english/11-how-to-find-a-lost-file.txt"
    "assets/sample/held-out/english/14-in-praise-of-hedges.txt"
    "assets/sample/held-out/korean/13-essay-alley-seasons.txt"
    "assets/sample/held-out/korean/15-three-small-reviews.txt"
    "assets/sample/korean/01-market-morning.txt"
    "assets/sample/korean/02-how-rain-forms.txt"
    "assets/sample/korean/03-office-lunch-talk.txt"
    "assets/sample/korean/04-grandmother-letter.txt"
    "assets/sample/korean/05-fairy-tale-echo-well.txt"
    "assets/sample/korean/06-tidy-your-files.txt"
    "assets/sample/korean/07-final-match.txt"
    "assets/sample/korean/08-slow-train-south.txt"
    "assets/sample/korean/09-news-solbat-bridge.txt"
    "assets/sample/korean/10-learning-a-language.txt"
    "assets/sample/korean/11-kimchi-stew-as-told.txt"
    "assets/sample/korean/12-diary-of-a-new-nurse.txt"
    "assets/sample/korean/14-the-ferryman-and-the-map.txt"
    "assets/sample/korean/16-siblings-moving-day.txt"
];

/// Writes the sample into a folder, laid out as in the project.
pub fn write(folder: &Path) -> Result<()> {
    for (path, text) in FILES {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_whole() {
        let listed: Vec<&str> = FILES.iter().map(|(path, _)| *path).collect();
        let mut waiting = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/sample")];
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                waiting.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
                continue;
            }
            let path = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
            assert!(listed.contains(&path.to_str().unwrap()), "{} is not embedded", path.display());
        }
    }

    #[test]
    fn each_language_has_at_least_sixty_kilobytes() {
        for language in ["korean", "english"] {
            let bytes: usize = FILES
                .iter()
                .filter(|(path, _)| path.contains(language))
                .map(|(_, text)| text.len())
                .sum();
            assert!(bytes >= 60_000, "{language}: {bytes} bytes");
        }
    }
}
