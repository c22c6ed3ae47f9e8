//! Typed values as people write them: `300ms`, `0.5%`, `10MB`. Each refusal says what to write instead.
//!
//! Knows texts only; places are the reader's business.

use super::mistake::{Wrong, quoted};
use crate::units::{Millis, Weight};

/// What a duration looks like, in the dialect that Rust's regular expressions and JSON Schema share.
pub(super) const DURATION_PATTERN: &str = r"^([0-9]+(\.[0-9]+)?(d|h|ms|m|s))+$";
/// What a percentage looks like.
pub(super) const PERCENT_PATTERN: &str = r"^[0-9]+(\.[0-9]+)?%$";
/// What a share or a multiple of another looks like.
pub(super) const TOLERATED_PATTERN: &str = r"^[0-9]+(\.[0-9]+)?[%x]$";
/// What a size looks like.
pub(super) const SIZE_PATTERN: &str = r"^[0-9]+(\.[0-9]+)?(B|kB|KB|MB|GB|KiB|MiB|GiB)$";

/// The longest duration that may be declared: a year. Longer ones are slips of the pen, and could overflow clocks.
const LONGEST_MS: u64 = 365 * DAY_MS;
const DAY_MS: u64 = 86_400_000;
/// Longest first, since the parts of a duration are written in this order.
const UNITS: [(&str, u64); 5] = [("d", DAY_MS), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A length of time: `300ms`, `2s`, `1.5s`, `10m`, `1h30m`, `30d`.
pub(super) fn duration(text: &str) -> Result<Millis, Wrong> {
    let no_duration = || Wrong::new(format!("{} is not a duration", quoted(text)));
    if text.parse::<f64>().is_ok() {
        return Err(Wrong::new(format!("{} has no unit", quoted(text)))
            .hint(format!("write {text}s for seconds, {text}ms for milliseconds, {text}m for minutes")));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(letters);
        let Some((_, length)) = units.find(|(name, _)| *name == unit) else {
            let hint = match UNITS.iter().any(|(name, _)| *name == unit) {
                true => "write each unit once, the longest first: 1h30m",
                false => "write 300ms, 2s, 10m, 1h30m or 30d",
            };
            return Err(no_duration().hint(hint));
        };
        let part = scaled(number, *length).ok_or_else(|| no_duration().hint("write 300ms, 2s, 10m, 1h30m or 30d"))?;
        total = total.saturating_add(part);
        rest = after;
    }
    match total {
        _ if text.is_empty() => Err(no_duration().hint("write 300ms, 2s, 10m, 1h30m or 30d")),
        _ if total > LONGEST_MS => Err(Wrong::new(format!("{} is longer than a year", quoted(text)))),
        _ => Ok(Millis(total)),
    }
}

/// `number`, a decimal, times `factor`, where that is a whole number; values past `u64` are held to its end.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return None;
    }
    let tenths = 10u64.pow(fraction.len() as u32);
    let part = u128::from(fraction.parse::<u64>().unwrap_or(0)) * u128::from(factor);
    if !part.is_multiple_of(u128::from(tenths)) {
        return None;
    }
    let whole = whole.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(factor);
    Some(whole.saturating_add((part / u128::from(tenths)) as u64))
}

/// A percentage as a share: `0.5%` is 0.005, to the last digit. 0 to 1.
pub(super) fn share(text: &str) -> Result<f64, Wrong> {
    let number = percent_digits(text)?;
    // Shifting the point in the text keeps 0.1% the same number as 0.001; a division would not.
    let share = format!("{number}e-2").parse::<f64>().unwrap_or(f64::INFINITY);
    if share > 1.0 { Err(Wrong::new(format!("{} is more than 100%", quoted(text)))) } else { Ok(share) }
}

/// A multiple: `2x`, `1.5x`. `None` where the text is not one.
pub(super) fn times(text: &str) -> Option<f64> {
    let number = text.strip_suffix('x')?;
    scaled(number, 1_000_000)?;
    number.parse().ok()
}

/// A percentage in steps of 0.01%, 0% to 100%.
pub(super) fn weight(text: &str) -> Result<Weight, Wrong> {
    let number = percent_digits(text)?;
    let Some(points) = scaled(number, 100) else {
        return Err(Wrong::new(format!("{} is finer than 0.01%", quoted(text))).hint("write at most two decimals"));
    };
    u16::try_from(points)
        .ok()
        .and_then(Weight::from_bp)
        .ok_or_else(|| Wrong::new(format!("{} is more than 100%", quoted(text))))
}

/// What stands before the percent sign, known to be a decimal.
fn percent_digits(text: &str) -> Result<&str, Wrong> {
    let decimal = |number: &str| scaled(number, 1_000_000_000).is_some();
    match text.strip_suffix('%') {
        Some(number) if decimal(number) => Ok(number),
        None if decimal(text) => Err(no_sign(text)),
        _ => Err(Wrong::new(format!("{} is not a percentage", quoted(text))).hint("write 1% or 0.5%")),
    }
}

fn no_sign(text: &str) -> Wrong {
    let wrong = Wrong::new(format!("{} has no percent sign", quoted(text)));
    match text.parse::<f64>() {
        Ok(share) if share > 0.0 && share < 1.0 => {
            // Ten decimals are enough for whatever share a person writes, and hide what binary fractions add.
            let percent = format!("{:.10}", share * 100.0);
            let percent = percent.trim_end_matches('0').trim_end_matches('.');
            wrong.hint(format!("write {percent}% if a share was meant, {text}% if a percentage was"))
        }
        _ => wrong.hint(format!("write {text}%")),
    }
}

/// A size in bytes: `10MB` is 10,000,000, `10MiB` is 10,485,760.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    const UNITS: [(&str, u64); 8] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("kB", 1_000),
        ("KB", 1_000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("B", 1),
    ];
    let known = UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, *factor)));
    if let Some(bytes) = known.and_then(|(number, factor)| scaled(number, factor)) {
        return Ok(bytes);
    }
    if text.parse::<u64>().is_ok() {
        return Err(Wrong::new(format!("{} has no unit", quoted(text))).hint(format!("write {text}B, or 10MB, 1GiB")));
    }
    Err(Wrong::new(format!("{} is not a size", quoted(text))).hint("write 512KiB, 10MB, 10MiB or 1GiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint<T: std::fmt::Debug>(result: Result<T, Wrong>) -> String {
        let wrong = result.unwrap_err();
        format!("{} ({})", wrong.message, wrong.hint.unwrap_or_default())
    }

    #[test]
    fn durations() {
        for (text, ms) in [
            ("300ms", 300),
            ("2s", 2_000),
            ("1.5s", 1_500),
            ("10m", 600_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("30d", 2_592_000_000),
            ("1d2h3m4s5ms", 93_784_005),
            ("0s", 0),
            ("365d", LONGEST_MS),
        ] {
            assert_eq!(duration(text), Ok(Millis(ms)), "{text}");
        }
        let display = Millis(5_400_000).to_string();
        assert_eq!(duration(&display), Ok(Millis(5_400_000)));
    }

    #[test]
    fn durations_that_are_none() {
        for (text, said) in [
            ("5", "\"5\" has no unit (write 5s for seconds, 5ms for milliseconds, 5m for minutes)"),
            ("", "\"\" is not a duration (write 300ms, 2s, 10m, 1h30m or 30d)"),
            ("fast", "\"fast\" is not a duration (write 300ms, 2s, 10m, 1h30m or 30d)"),
            ("5 s", "\"5 s\" is not a duration (write 300ms, 2s, 10m, 1h30m or 30d)"),
            ("-5s", "\"-5s\" is not a duration (write 300ms, 2s, 10m, 1h30m or 30d)"),
            ("0.5ms", "\"0.5ms\" is not a duration (write 300ms, 2s, 10m, 1h30m or 30d)"),
            ("30m1h", "\"30m1h\" is not a duration (write each unit once, the longest first: 1h30m)"),
            ("1m1m", "\"1m1m\" is not a duration (write each unit once, the longest first: 1h30m)"),
            ("366d", "\"366d\" is longer than a year ()"),
            ("99999999999999999999d", "\"99999999999999999999d\" is longer than a year ()"),
        ] {
            assert_eq!(hint(duration(text)), said, "{text}");
        }
    }

    #[test]
    fn percentages() {
        assert_eq!(share("1%"), Ok(0.01));
        assert_eq!(share("0.5%"), Ok(0.005));
        assert_eq!(share("0.1%"), Ok(0.001));
        assert_eq!(share("100%"), Ok(1.0));
        assert_eq!(weight("12.34%").map(Weight::bp), Ok(1234));
        assert_eq!(weight("100%"), Ok(Weight::ALL));
        assert_eq!(hint(share("1")), "\"1\" has no percent sign (write 1%)");
        assert_eq!(
            hint(share("0.07")),
            "\"0.07\" has no percent sign (write 7% if a share was meant, 0.07% if a percentage was)"
        );
        assert_eq!(hint(share("150%")), "\"150%\" is more than 100% ()");
        assert_eq!(hint(weight("100.01%")), "\"100.01%\" is more than 100% ()");
        assert_eq!(hint(weight("0.001%")), "\"0.001%\" is finer than 0.01% (write at most two decimals)");
        for text in ["%", "a%", "1e2%", "-1%", ".5%", "5.%", "1 %", "NaN", "inf%"] {
            assert_eq!(hint(share(text)), format!("{text:?} is not a percentage (write 1% or 0.5%)"));
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("10MB", 10_000_000), ("10MiB", 10 << 20), ("1GiB", 1 << 30), ("1.5kB", 1_500), ("512B", 512)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        assert_eq!(hint(size("1024")), "\"1024\" has no unit (write 1024B, or 10MB, 1GiB)");
        for text in ["", "MB", "-1MB", "1.5B", "10mb", "10 MB", "lots"] {
            assert_eq!(hint(size(text)), format!("{text:?} is not a size (write 512KiB, 10MB, 10MiB or 1GiB)"));
        }
    }

    #[test]
    fn the_patterns_of_the_schema_take_what_is_read_here() {
        let fits = |pattern: &str, text: &str| regex::Regex::new(pattern).unwrap().is_match(text);
        for text in ["300ms", "1.5s", "1h30m", "30d", "1d2h3m4s5ms"] {
            assert!(duration(text).is_ok() && fits(DURATION_PATTERN, text), "{text}");
        }
        for text in ["1%", "0.5%", "100%"] {
            assert!(share(text).is_ok() && fits(PERCENT_PATTERN, text), "{text}");
        }
        for text in ["10MB", "1.5kB", "10MiB", "1GiB", "3B"] {
            assert!(size(text).is_ok() && fits(SIZE_PATTERN, text), "{text}");
        }
    }
}
