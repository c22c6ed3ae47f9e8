//! One piece of advice: the strategy in which the fewest people meet a mistake, among those that fit.

use super::super::estimate::Today;
use super::super::lane::{Lane, Release};
use super::Way;
use super::harm::Harm;
use crate::units::Millis;

/// Fewer requests than this show next to nothing.
const FEW: f64 = 50.0;

/// The strategy that fits best and why; a reason alone where none does.
pub(super) fn advise(
    lane: &Lane,
    release: &Release,
    ways: &[Way],
    verify: Millis,
    today: &Today,
) -> (Option<String>, String) {
    let way = |name: &str| ways.iter().find(|way| way.strategy == name);
    let fitting = |name: &str| way(name).filter(|way| way.fits());
    if lane.stable.is_none() {
        let why = "a first release has nothing to compare with and nobody to protect: under each of them it is smoke \
                   tests, then everybody, then verification";
        return (ways.iter().find(|way| way.fits()).map(|way| way.strategy.clone()), why.to_string());
    }
    let chosen = ["canary", "blue-green", "rolling", "replace"].into_iter().find_map(fitting);
    let Some(chosen) = chosen else {
        let why = ways.iter().flat_map(|way| way.misfits.first().map(|m| format!("{}: {m}", way.strategy)));
        return (None, format!("none fits; {}", why.collect::<Vec<_>>().join("; ")));
    };
    let against = ways
        .iter()
        .filter(|way| !way.fits())
        .filter_map(|way| Some(format!("{} does not fit: {}", way.strategy, way.misfits.first()?)));
    let mut why = reason(release, chosen, way("blue-green"), verify, today);
    for sentence in against {
        why.push_str("; ");
        why.push_str(&sentence);
    }
    (Some(chosen.strategy.clone()), why)
}

fn reason(release: &Release, chosen: &Way, blue_green: Option<&Way>, verify: Millis, today: &Today) -> String {
    match chosen.strategy.as_str() {
        "canary" if release.spec.is_worker() => format!(
            "{} of those that take jobs are the new version first, beside all of the old ones, and what they report is \
             compared; going back is stopping them",
            chosen.exposed
        ),
        "replace" => {
            "the old version has ended before the new one starts; jobs wait in their queue meanwhile".to_string()
        }
        "canary" => {
            let mine = chosen.harm.map_or_else(String::new, |harm| format!(": {}", told(harm)));
            let less = |other: &Harm| chosen.harm.is_some_and(|mine| mine.failed < other.failed);
            let other = blue_green
                .and_then(|way| way.harm)
                .filter(less)
                .map_or_else(String::new, |harm| format!(", against {} under blue-green", harm.failed));
            format!(
                "{} of the users meet a bad version first, and most of the others never{mine}{other}",
                chosen.exposed
            )
        }
        "blue-green" => {
            let decides = match release.spec.smoke.len() {
                0 => "nothing but health checks stands before it, so write smoke tests first".to_string(),
                1 => "what decides is the smoke test before it".to_string(),
                n => format!("what decides are the {n} smoke tests before it"),
            };
            let seen = today.rate.map(|rate| rate * verify.0 as f64 / 1000.0);
            let shows = match seen {
                Some(requests) if requests < FEW => {
                    format!(
                        ": the {verify} of watching after it will see about {requests:.0} requests, which show little"
                    )
                }
                _ => String::new(),
            };
            format!("one switch there and one back, with the old version kept warm; {decides}{shows}")
        }
        _ => "it replaces instances in their places, a batch at a time".to_string(),
    }
}

fn told(harm: Harm) -> String {
    match harm.after {
        Some(after) => {
            format!("if one request in ten fails, about {} fail before everybody is back, after {after}", harm.failed)
        }
        None => {
            format!("if one request in ten fails, about {} fail and nobody notices while it is watched", harm.failed)
        }
    }
}
