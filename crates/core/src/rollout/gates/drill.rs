//! `require_drill`: the way back was practised lately, worked, and was no slower than the deployment.

use super::Gate;
use crate::rollout::drilling;
use crate::rollout::lane::Lane;
use crate::rollout::observed::Observed;
use crate::units::{Millis, Timestamp};

const NAME: &str = "drill";

/// Whether the last drill is at most `age` old, has passed, and was fast enough.
pub(super) fn young(lane: &Lane, age: Millis, seen: &Observed, now: Timestamp) -> Gate {
    // Where the way back cannot be practised a drill cannot be asked for either. An outage is no such reason.
    if let Err(refusal) = drilling::way_back(lane, seen)
        && refusal.code == "nothing_to_drill"
    {
        return Gate::waived(NAME, format!("require_drill is waived this time: {}", refusal.reason));
    }
    let remedy = format!("run: slipway drill {} --env {}", lane.id.service, lane.id.environment);
    let Some(last) = &lane.drilled else {
        return Gate::blocking(NAME, "the way back was never practised here".to_string(), remedy);
    };
    let ago = now.since(last.at);
    let sentence = match () {
        () if !last.passed => format!("the last drill ({}) failed: {}", last.rollout, last.cause),
        () if ago > age => format!("the last drill ({}) was {ago} ago, and {age} is the most", last.rollout),
        () if last.slower() => {
            let of = |time: Option<Millis>| time.unwrap_or_default();
            let remedy = format!("make it faster (a standby: strategy.standby, a quicker start), then {remedy}");
            let (back, forth) = (of(last.back), of(last.deployment));
            let sentence =
                format!("in the last drill ({}) going back took {back}, the deployment {forth}", last.rollout);
            return Gate::blocking(NAME, sentence, remedy);
        }
        () => return Gate::met(NAME, format!("{} passed {ago} ago", last.rollout)),
    };
    Gate::blocking(NAME, sentence, remedy)
}
