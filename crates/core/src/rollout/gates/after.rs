//! `after`: what other services must serve first.

use super::Gate;
use crate::names::LaneId;
use crate::rollout::lane::Lane;
use crate::rollout::observed::Observed;
use crate::spec::After;
use crate::version_order::{at_least, is_comparable};

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
        Some(None) => {
            let (what, remedy) = match after.at_least.as_deref().filter(|least| !is_comparable(least)) {
                Some(least) => (least, format!("ask for a version such as 2.1 of {}, or without >=", other.service)),
                None => (
                    serving.as_str(),
                    format!("release a version such as 2.1.0 of {}, or ask for it without >=", other.service),
                ),
            };
            Gate::blocking(&name, format!("{sentence}; {what} has no number to compare by"), remedy)
        }
    }
}
