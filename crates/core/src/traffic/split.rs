//! Who gets how much of a route's traffic.

use serde::{Deserialize, Serialize};

use crate::names::VersionName;
use crate::units::Weight;

/// One version's share of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The version.
    pub version: VersionName,
    /// Its share.
    pub weight: Weight,
}

/// Who gets how much: never anything but 100% in all. The first share owns the lower end of the hash range, so
/// raising it moves nobody back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Share>", into = "Vec<Share>")]
pub struct Split(Vec<Share>);

/// Why shares do not make a split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// The shares do not add up.
    #[error("the shares add up to {0} basis points, not to 10000")]
    NotWhole(u32),
    /// A version stands twice.
    #[error("version {0} stands twice in one split")]
    Twice(VersionName),
}

impl Split {
    /// All of the traffic for one version.
    pub fn all(version: VersionName) -> Split {
        Split(vec![Share { version, weight: Weight::ALL }])
    }

    /// `weight` for the candidate, the rest for stable; shares of nothing are left out.
    pub fn between(candidate: VersionName, weight: Weight, stable: VersionName) -> Split {
        if weight == Weight::ALL || candidate == stable {
            return Split::all(candidate);
        }
        if weight == Weight::ZERO {
            return Split::all(stable);
        }
        Split(vec![Share { version: candidate, weight }, Share { version: stable, weight: weight.rest() }])
    }

    /// The shares, in hash order.
    pub fn shares(&self) -> &[Share] {
        &self.0
    }

    /// The share of `version`; zero where it has none.
    pub fn weight(&self, version: &VersionName) -> Weight {
        self.0.iter().find(|s| s.version == *version).map_or(Weight::ZERO, |s| s.weight)
    }

    /// Whether more than one version gets traffic.
    pub fn is_divided(&self) -> bool {
        self.0.iter().filter(|s| s.weight > Weight::ZERO).count() > 1
    }
}

impl TryFrom<Vec<Share>> for Split {
    type Error = SplitError;
    fn try_from(shares: Vec<Share>) -> Result<Self, SplitError> {
        let total: u32 = shares.iter().map(|s| u32::from(s.weight.bp())).sum();
        if total != 10_000 {
            return Err(SplitError::NotWhole(total));
        }
        for (i, share) in shares.iter().enumerate() {
            if shares[..i].iter().any(|s| s.version == share.version) {
                return Err(SplitError::Twice(share.version.clone()));
            }
        }
        Ok(Split(shares))
    }
}

impl From<Split> for Vec<Share> {
    fn from(split: Split) -> Vec<Share> {
        split.0
    }
}
