//! Typed quantities: shares of traffic, durations and instants.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A share of the traffic in basis points: 0 to 10,000, where 100 is 1%.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Weight(u16);

impl Weight {
    /// No traffic.
    pub const ZERO: Weight = Weight(0);
    /// All of the traffic.
    pub const ALL: Weight = Weight(10_000);

    /// A weight from basis points; `None` above 10,000.
    pub const fn from_bp(bp: u16) -> Option<Weight> {
        if bp <= 10_000 { Some(Weight(bp)) } else { None }
    }

    /// The share `part / whole`, rounded to the nearest basis point; `part` is held to `whole`.
    pub fn ratio(part: u32, whole: u32) -> Weight {
        if whole == 0 {
            return Weight::ZERO;
        }
        let part = u64::from(part.min(whole));
        Weight(((part * 10_000 + u64::from(whole) / 2) / u64::from(whole)) as u16)
    }

    /// Basis points, 0 to 10,000.
    pub const fn bp(self) -> u16 {
        self.0
    }

    /// The share as a number from 0 to 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// What is left of 100%.
    pub const fn rest(self) -> Weight {
        Weight(10_000 - self.0)
    }
}

impl TryFrom<u16> for Weight {
    type Error = String;
    fn try_from(bp: u16) -> Result<Self, String> {
        Weight::from_bp(bp).ok_or_else(|| format!("a weight of {bp} basis points is more than 100%"))
    }
}

impl From<Weight> for u16 {
    fn from(weight: Weight) -> u16 {
        weight.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match part {
            0 => write!(f, "{whole}%"),
            p if p % 10 == 0 => write!(f, "{whole}.{}%", p / 10),
            p => write!(f, "{whole}.{p:02}%"),
        }
    }
}

/// A length of time in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    /// A length of time from whole seconds.
    pub const fn from_secs(secs: u64) -> Millis {
        Millis(secs * 1000)
    }

    /// As the standard library's duration.
    pub const fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }
}

impl fmt::Display for Millis {
    /// For people: `40ms`, `1.5s`, `10m`, `1h30m`, `2d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0;
        let pair = |f: &mut fmt::Formatter<'_>, big: u64, unit: &str, small: u64, small_unit: &str| {
            if small == 0 { write!(f, "{big}{unit}") } else { write!(f, "{big}{unit}{small}{small_unit}") }
        };
        match ms {
            0..1_000 => write!(f, "{ms}ms"),
            1_000..60_000 if ms.is_multiple_of(1000) => write!(f, "{}s", ms / 1000),
            1_000..60_000 => write!(f, "{:.1}s", ms as f64 / 1000.0),
            60_000..3_600_000 => pair(f, ms / 60_000, "m", ms / 1000 % 60, "s"),
            3_600_000..86_400_000 => pair(f, ms / 3_600_000, "h", ms / 60_000 % 60, "m"),
            _ => pair(f, ms / 86_400_000, "d", ms / 3_600_000 % 24, "h"),
        }
    }
}

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// How long before `self` the instant `earlier` was; zero where it was not.
    pub const fn since(self, earlier: Timestamp) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }

    /// The instant `length` after this one.
    pub const fn plus(self, length: Millis) -> Timestamp {
        Timestamp(self.0.saturating_add(length.0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC with milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()) {
            Some(at) => write!(f, "{at:.3}"),
            None => write!(f, "@{}ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_read_as_people_write_them() {
        let text = |bp| Weight::from_bp(bp).unwrap().to_string();
        assert_eq!([text(0), text(50), text(100), text(1234), text(10_000)], ["0%", "0.5%", "1%", "12.34%", "100%"]);
        assert_eq!(Weight::ratio(1, 3).bp(), 3333);
        assert_eq!(Weight::ratio(2, 3).bp(), 6667);
        assert_eq!(Weight::from_bp(10_001), None);
    }

    #[test]
    fn lengths_read_as_people_write_them() {
        let text = |ms| Millis(ms).to_string();
        assert_eq!(
            [text(40), text(1500), text(600_000), text(5_400_000), text(172_800_000), text(61_000)],
            ["40ms", "1.5s", "10m", "1h30m", "2d", "1m1s"]
        );
    }
}
