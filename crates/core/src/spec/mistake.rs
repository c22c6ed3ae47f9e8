//! A mistake in the declared file: what, where, why, and what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A mistake in the declared file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
    /// The key, dotted: `environments.production.strategy.canary.steps[2]`. Empty for the file as a whole.
    pub field: String,
    /// What is wrong, and why.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}
