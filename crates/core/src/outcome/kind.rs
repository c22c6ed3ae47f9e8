//! What a business calls the things that happen in it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest kind in bytes.
const LIMIT: usize = 64;

/// A kind of outcome: `order_failed`. The same text in the declared file and in what is reported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Kind(String);

impl Kind {
    /// Somebody complained.
    pub const COMPLAINT: &str = "complaint";
    /// Nothing happened, and whoever reports is there.
    pub const ALIVE: &str = "alive";

    /// What `bad: complaint` means.
    pub fn complaint() -> Kind {
        Kind(Kind::COMPLAINT.to_string())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Text that cannot be a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a kind of outcome has 1 to 64 lower-case letters, digits and _-., and begins with a letter, like order_failed"
)]
pub struct InvalidKind;

impl FromStr for Kind {
    type Err = InvalidKind;
    fn from_str(text: &str) -> Result<Kind, InvalidKind> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.".contains(c);
        let begins = text.starts_with(|c: char| c.is_ascii_lowercase());
        match begins && text.len() <= LIMIT && text.chars().all(fits) {
            true => Ok(Kind(text.to_string())),
            false => Err(InvalidKind),
        }
    }
}

impl TryFrom<String> for Kind {
    type Error = InvalidKind;
    fn try_from(text: String) -> Result<Kind, InvalidKind> {
        text.parse()
    }
}

impl From<Kind> for String {
    fn from(kind: Kind) -> String {
        kind.0
    }
}
