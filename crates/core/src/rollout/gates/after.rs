//! `after`: what other services must serve first.

use super::Gate;
use crate::names::LaneId;
use crate::rollout::lane::Lane;
use crate::rollout::observed::Observed;
use crate::spec::After;

/// Whether the other service serves what is asked for.
pub(super) fn serves(lane: &Lane, after: &After, seen: &Observed) -> Gate {
    let name = format!("after {}", after.service);
    let environment = after.environment.as_ref().unwrap_or(&lane.id.environment).clone();
    let other = LaneId { service: after.service.clone(), environment };
    let wanted = after.at_least.as_deref().map_or_else(|| "any version".to_string(), |v| format!("{v} or later"));
    let remedy = format!("release {} to {} first ({wanted})", other.service, other.environment);
    let Some(serving) = seen.serving.get(&other).map(|serving| &serving.version) else {
        return Gate::blocking(&name, format!("nothing of it serves in {}", other.environment), remedy);
    };
    let sentence = format!("it serves {serving} in {}, and {wanted} is asked for", other.environment);
    match after.at_least.as_deref().map(|least| at_least(serving.as_str(), least)) {
        None | Some(Some(true)) => Gate::met(&name, format!("it serves {serving} in {}", other.environment)),
        Some(Some(false)) => Gate::blocking(&name, sentence, remedy),
        Some(None) => Gate::blocking(
            &name,
            format!("{sentence}; {serving} has no number to compare by"),
            format!("release a version such as 2.1.0 of {}, or ask for it without >=", other.service),
        ),
    }
}

/// Whether version `have` is `least` or later, by the numbers between the dots; what is missing is 0, and what has a
/// suffix such as `-rc1` comes before the same without. `None` where one of them is no such number.
fn at_least(have: &str, least: &str) -> Option<bool> {
    let (have, least) = (numbers(have)?, numbers(least)?);
    let places = have.0.len().max(least.0.len());
    let padded = |numbers: &[u64]| (0..places).map(|i| numbers.get(i).copied().unwrap_or(0)).collect::<Vec<_>>();
    let order = padded(&have.0).cmp(&padded(&least.0)).then_with(|| match (have.1, least.1) {
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (Some(_), None) => std::cmp::Ordering::Less,
        (a, b) => a.cmp(&b),
    });
    Some(order.is_ge())
}

/// `v2.1.0-rc1+build` as its numbers and its suffix.
fn numbers(version: &str) -> Option<(Vec<u64>, Option<&str>)> {
    let version = version.strip_prefix('v').unwrap_or(version);
    let version = version.split('+').next().unwrap_or_default();
    let (numbers, suffix) = match version.split_once('-') {
        Some((numbers, suffix)) => (numbers, Some(suffix)),
        None => (version, None),
    };
    Some((numbers.split('.').map(|n| n.parse().ok()).collect::<Option<_>>()?, suffix))
}

#[cfg(test)]
mod tests {
    use super::at_least;

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
            ("2.1.0+linux", "2.1.0", Some(true)),
            ("git-3fa9c1e", "2.1", None),
        ] {
            assert_eq!(at_least(have, least), is, "{have} against {least}");
        }
    }
}
