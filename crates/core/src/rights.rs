//! What the holder of a token may do. Everybody with a token may look.
//!
//! Kept with the token, checked by the API at its door; a command itself knows nothing of rights.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One thing that not everybody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Upload artifacts and ask for releases.
    Release,
    /// Go back, and take an open rollout back.
    Rollback,
    /// Pause, resume, promote, drill.
    Operate,
    /// Give one's word for somebody else's release.
    Approve,
    /// Pass gates that block, with a reason.
    Override,
    /// Make and revoke tokens, stop everything.
    Admin,
    /// Report outcomes and complaints, on which the judge rests.
    Report,
    /// Apply the file of an environment: what runs there, and what every release into it must meet.
    Apply,
    /// Inject faults into what users get.
    Inject,
}

impl Right {
    /// Every one.
    pub const ALL: [Right; 9] = [
        Right::Release,
        Right::Rollback,
        Right::Operate,
        Right::Approve,
        Right::Override,
        Right::Admin,
        Right::Report,
        Right::Apply,
        Right::Inject,
    ];

    /// As it is written on the command line and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Right::Release => "release",
            Right::Rollback => "rollback",
            Right::Operate => "operate",
            Right::Approve => "approve",
            Right::Override => "override",
            Right::Admin => "admin",
            Right::Report => "report",
            Right::Apply => "apply",
            Right::Inject => "inject",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no right has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no right {0:?}; there are {all}", all = Rights::all())]
pub struct UnknownRight(String);

impl FromStr for Right {
    type Err = UnknownRight;
    fn from_str(name: &str) -> Result<Right, UnknownRight> {
        let short = || name.chars().take(80).collect();
        Right::ALL.into_iter().find(|right| right.name() == name).ok_or_else(|| UnknownRight(short()))
    }
}

/// What one token may do.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rights(BTreeSet<Right>);

impl Rights {
    /// Everything.
    pub fn all() -> Rights {
        Rights(Right::ALL.into())
    }

    /// What a token may do where nothing is said: everything but passing gates, making tokens,
    /// reporting outcomes, which is a service's own, saying what an environment asks of everybody, and injecting faults.
    pub fn usual() -> Rights {
        Rights([Right::Release, Right::Rollback, Right::Operate, Right::Approve].into())
    }

    /// Whether `right` is among them.
    pub fn may(&self, right: Right) -> bool {
        self.0.contains(&right)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Right> {
        self.0.iter().copied()
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Rights {
        Rights(rights.into_iter().collect())
    }
}

impl fmt::Display for Rights {
    /// `release, approve`; `look` where there are none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.is_empty() {
            true => f.write_str("look"),
            false => f.write_str(&self.iter().map(Right::name).collect::<Vec<_>>().join(", ")),
        }
    }
}

impl FromStr for Rights {
    type Err = UnknownRight;
    /// Names between commas; `all` and `look` stand for all and none.
    fn from_str(text: &str) -> Result<Rights, UnknownRight> {
        match text.trim() {
            "all" => Ok(Rights::all()),
            "look" | "" => Ok(Rights::default()),
            names => names.split(',').map(|name| name.trim().parse()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_they_are_read() {
        for text in
            ["release, approve", "look", "release, rollback, operate, approve, override, admin, report, apply, inject"]
        {
            assert_eq!(text.parse::<Rights>().unwrap().to_string(), text);
        }
        assert_eq!("all".parse::<Rights>().unwrap(), Rights::all());
        assert!(!Rights::usual().may(Right::Override) && !Rights::usual().may(Right::Admin));
        let said = "approve,fly".parse::<Rights>().unwrap_err().to_string();
        assert_eq!(
            said,
            "there is no right \"fly\"; there are release, rollback, operate, approve, override, admin, report, apply, inject"
        );
    }
}
