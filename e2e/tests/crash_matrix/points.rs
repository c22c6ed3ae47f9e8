//! The points at which `slipway-failpoints` can be made to fail, and what is to happen at one of them.

use std::fmt;
use std::fs;
use std::path::PathBuf;

/// What happens at a point, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Strike {
    /// `kill`, `fail` or `twice`.
    pub way: &'static str,
    /// `before` or `after`.
    pub moment: &'static str,
    /// `journal:step.entered`, `effect:start`.
    pub point: String,
}

impl fmt::Display for Strike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.way, self.moment, self.point)
    }
}

/// What can go wrong at a point of the journal: the process dies or the write fails, with nothing of it kept, or with
/// all of it kept and nobody told.
const OF_WRITES: [(&str, &str); 4] = [("kill", "before"), ("kill", "after"), ("fail", "before"), ("fail", "after")];
/// What can go wrong with an act.
const OF_ACTS: [(&str, &str); 4] = [("kill", "before"), ("kill", "after"), ("fail", "before"), ("twice", "before")];

/// Everything that can go wrong at a point.
pub fn strikes(point: &str) -> impl Iterator<Item = Strike> + '_ {
    let all = if is_write(point) { OF_WRITES } else { OF_ACTS };
    all.into_iter().map(move |(way, moment)| Strike { way, moment, point: point.to_string() })
}

/// Whether a point is one of the journal; otherwise it is one of an act.
pub fn is_write(point: &str) -> bool {
    point.starts_with("journal:")
}

/// The folder through which the program is told, and tells.
#[derive(Debug, Clone)]
pub struct Points {
    folder: PathBuf,
}

impl Points {
    /// In a folder that is made.
    pub fn new(folder: PathBuf) -> Points {
        fs::create_dir_all(&folder).expect("a folder");
        Points { folder }
    }

    /// What the program is started with.
    pub fn variable(&self) -> (String, String) {
        ("SLIPWAY_FAILPOINTS".to_string(), self.folder.display().to_string())
    }

    /// Lets it happen, once.
    pub fn arm(&self, strike: &Strike) {
        self.disarm();
        fs::write(self.folder.join("arming"), strike.to_string()).expect("room");
        fs::rename(self.folder.join("arming"), self.folder.join("armed")).expect("the same folder");
    }

    /// Nothing happens any more.
    pub fn disarm(&self) {
        for name in ["armed", "struck"] {
            let _ = fs::remove_file(self.folder.join(name));
        }
    }

    /// Whether it has happened.
    pub fn struck(&self) -> bool {
        self.folder.join("struck").exists()
    }

    /// Forgets which points were passed.
    pub fn forget(&self) {
        let _ = fs::remove_file(self.folder.join("passed"));
    }

    /// The points that were passed, each once, by name.
    pub fn passed(&self) -> Vec<String> {
        let text = fs::read_to_string(self.folder.join("passed")).unwrap_or_default();
        let mut names: Vec<String> = text.lines().filter_map(|line| Some(line.splitn(3, ' ').nth(2)?.into())).collect();
        names.sort();
        names.dedup();
        names
    }
}
