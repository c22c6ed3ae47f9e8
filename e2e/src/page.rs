//! A page of the documents whose commands a test runs. Those that it runs must stand there; that none is left out is
//! looked after by the test of the documents, which compares the page with the test's source.

use std::collections::BTreeSet;
use std::path::Path;

use crate::slipway::{Output, Slipway};

/// A how-to page.
pub struct Page {
    name: String,
    commands: BTreeSet<String>,
    others: Vec<String>,
    scripts: Vec<String>,
}

impl Page {
    /// The page at `path` below the repository. Its commands are the indented lines that begin with `slipway `; its scripts
    /// are the blocks that are fenced as `sh`.
    ///
    /// # Panics
    /// Where it cannot be read.
    pub fn open(path: &str) -> Page {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let commands = text.lines().filter_map(|line| line.strip_prefix("    ")).filter(|l| l.starts_with("slipway "));
        let others = text.lines().filter_map(|line| line.strip_prefix("    ")).filter(|l| !l.starts_with("slipway "));
        let scripts = text.split("\n```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
        Page {
            name: path.to_string(),
            commands: commands.map(str::to_string).collect(),
            others: others.map(str::to_string).collect(),
            scripts: scripts.map(str::to_string).collect(),
        }
    }

    /// Runs a command of the page, whatever its exit code. Words in double quotes are one argument. Where the page says
    /// `ro-N`, `id` is put.
    ///
    /// # Panics
    /// Where the page does not have the command, or it cannot be run.
    pub async fn run(&self, slipway: &Slipway, command: &str, id: Option<&str>) -> Output {
        assert!(self.commands.contains(command), "{} does not say: {command}", self.name);
        let command = command.replace("ro-N", id.unwrap_or("ro-N"));
        let words = words(command.trim_start_matches("slipway "));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        slipway.cli(&words).await.unwrap_or_else(|e| panic!("{command}: {e:#}"))
    }

    /// Its indented line that runs this other program.
    ///
    /// # Panics
    /// Where it has none.
    pub fn line(&self, program: &str) -> &str {
        let line = self.others.iter().find(|line| line.split(' ').next() == Some(program));
        line.unwrap_or_else(|| panic!("{} has no line that runs {program}", self.name))
    }

    /// Its scripts, as they stand.
    pub fn scripts(&self) -> &[String] {
        &self.scripts
    }

    /// Its commands.
    pub fn commands(&self) -> impl Iterator<Item = &str> {
        self.commands.iter().map(String::as_str)
    }
}

/// The words of a command line; those in double quotes are one.
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in line.split('"').enumerate() {
        match i % 2 {
            0 => words.extend(part.split_whitespace().map(str::to_string)),
            _ => words.push(part.to_string()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_keep_words_together() {
        assert_eq!(
            super::words("release --reason \"the site is down\" x"),
            ["release", "--reason", "the site is down", "x"]
        );
    }
}
