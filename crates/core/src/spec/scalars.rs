//! Typed texts: times, percents, counts, sizes.

use super::model::Amount;
use crate::units::{Millis, Weight};

/// `300ms`, `2s`, `10m`, `1h30m`, `30d`.
pub(super) fn duration(text: &str) -> Result<Millis, String> {
    let wrong = || format!("{text:?} is not a time; write it like 300ms, 2s, 10m, 1h30m or 7d");
    let mut rest = text;
    let mut total: u64 = 0;
    let mut last = u64::MAX;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..letters] {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return Err(wrong()),
        };
        if unit >= last {
            return Err(wrong());
        }
        last = unit;
        rest = &rest[letters..];
        total = number.checked_mul(unit).and_then(|ms| total.checked_add(ms)).ok_or_else(wrong)?;
    }
    if total > 3650 * 86_400_000 {
        return Err(format!("{text:?} is more than ten years"));
    }
    Ok(Millis(total))
}

/// A time that is not zero.
pub(super) fn positive(text: &str) -> Result<Millis, String> {
    match duration(text)? {
        Millis(0) => Err("must be more than nothing".to_string()),
        time => Ok(time),
    }
}

/// `1%`, `0.5%`: the number before the sign.
fn percent(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is not a percentage; write it like 1% or 0.5%");
    let number = text.strip_suffix('%').ok_or_else(wrong)?.trim_end();
    if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(wrong());
    }
    let value: f64 = number.parse().map_err(|_| wrong())?;
    match value {
        v if v > 100.0 => Err(format!("{text} is more than 100%")),
        v => Ok(v),
    }
}

/// A share of the traffic, in whole basis points.
pub(super) fn weight(text: &str) -> Result<Weight, String> {
    let bp = percent(text)? * 100.0;
    if (bp - bp.round()).abs() > 1e-6 {
        return Err(format!("{text} is finer than 0.01%"));
    }
    Weight::from_bp(bp.round() as u16).ok_or_else(|| format!("{text} is more than 100%"))
}

/// A share from 0 to 1, above 0.
pub(super) fn share(text: &str) -> Result<f64, String> {
    match percent(text)? {
        v if v <= 0.0 => Err("must be above 0%".to_string()),
        v => Ok(v / 100.0),
    }
}

/// The chance of an error: a percentage above 0 and below 50.
pub(super) fn chance(text: &str) -> Result<f64, String> {
    match share(text)? {
        v if v >= 0.5 => Err("must be below 50%".to_string()),
        v => Ok(v),
    }
}

/// A whole number.
pub(super) fn count(text: &str) -> Result<u32, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number"))
}

/// A whole number from 1 on.
pub(super) fn at_least_one(text: &str) -> Result<u32, String> {
    match count(text)? {
        0 => Err("must be at least 1".to_string()),
        n => Ok(n),
    }
}

/// `2` or `20%`.
pub(super) fn amount(text: &str) -> Result<Amount, String> {
    if text.ends_with('%') {
        return weight(text).map(Amount::Percent);
    }
    count(text).map(Amount::Count).map_err(|_| format!("{text:?} is neither a number like 2 nor a share like 20%"))
}

/// `512KB`, `10MB`, `10MiB`, `1GiB`, or bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size; write it like 512KB, 10MB or 10MiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match &text[digits..] {
        "" | "B" => 1,
        "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).ok_or_else(wrong)
}
