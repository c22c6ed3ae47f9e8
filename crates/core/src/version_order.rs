//! Which of two versions is the later one, where their names are numbers: the rules of Semantic Versioning, and missing
//! numbers are 0. Names that are none, such as `git-3fa9c1e`, cannot be compared.

use std::cmp::Ordering;

/// The parts of a name by which it is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Numbers<'a> {
    numbers: Vec<u64>,
    /// What comes after the first `-`; such a version comes before the same one without.
    suffix: Option<&'a str>,
}

/// Whether a version can be compared at all.
pub(crate) fn is_comparable(version: &str) -> bool {
    numbers(version).is_some()
}

/// Whether version `have` is `least` or later. `None` where one of them cannot be compared.
pub(crate) fn at_least(have: &str, least: &str) -> Option<bool> {
    let (have, least) = (numbers(have)?, numbers(least)?);
    let places = have.numbers.len().max(least.numbers.len());
    let padded = |numbers: &[u64]| (0..places).map(|i| numbers.get(i).copied().unwrap_or(0)).collect::<Vec<_>>();
    let order = padded(&have.numbers).cmp(&padded(&least.numbers)).then_with(|| match (have.suffix, least.suffix) {
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (None, None) => Ordering::Equal,
        (Some(a), Some(b)) => suffixes(a, b),
    });
    Some(order.is_ge())
}

/// Two suffixes, part by part: numbers by their value and before words, words by their letters, and more parts after fewer.
fn suffixes(a: &str, b: &str) -> Ordering {
    let part = |(a, b): (&str, &str)| match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    };
    let differs = a.split('.').zip(b.split('.')).map(part).find(|order| order.is_ne());
    differs.unwrap_or_else(|| a.split('.').count().cmp(&b.split('.').count()))
}

/// `v2.1.0-rc1+build` as its numbers and its suffix.
fn numbers(version: &str) -> Option<Numbers<'_>> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let version = version.split('+').next().unwrap_or_default();
    let (numbers, suffix) = match version.split_once('-') {
        Some((numbers, suffix)) => (numbers, Some(suffix)),
        None => (version, None),
    };
    Some(Numbers { numbers: numbers.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?, suffix })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (have, least, is) in [
            ("2.1", "2.1", Some(true)),
            ("2.10.0", "2.9", Some(true)),
            ("2.1.0", "2.1", Some(true)),
            ("v2.1.3", "2.1", Some(true)),
            ("2.0.9", "2.1", Some(false)),
            ("2.1.0-rc1", "2.1", Some(false)),
            ("2.1.0-rc2", "2.1.0-rc1", Some(true)),
            ("2.1.0-rc.10", "2.1.0-rc.9", Some(true)),
            ("2.1.0-rc.9", "2.1.0-rc.10", Some(false)),
            ("2.1.0-rc.1.1", "2.1.0-rc.1", Some(true)),
            ("2.1.0-2", "2.1.0-alpha", Some(false)),
            ("2.1.0+linux", "2.1.0", Some(true)),
            ("git-3fa9c1e", "2.1", None),
            ("2.1", "2.x", None),
        ] {
            assert_eq!(at_least(have, least), is, "{have} against {least}");
        }
    }
}
