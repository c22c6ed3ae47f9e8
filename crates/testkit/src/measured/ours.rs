//! Slipway's own rollouts of a scenario: the real judge, request by request, at the default settings.

use slipway_core::judge::simulation::{
    Comparable, End as CoreEnd, Pace, Random, Request, Step, World, canary, errors, latency,
};
use slipway_core::units::Millis;

use super::scenario::Scenario;
use super::{ALPHA, End, Told};

/// Traffic below this many requests per second gets fewer and larger steps, as the documentation advises.
const QUIET: f64 = 30.0;
/// The default `step_limit`.
const STEP_LIMIT: Millis = Millis::from_secs(600);

/// The rollout with this seed.
pub fn rollout(scenario: &Scenario, seed: u64) -> Told {
    let user = |random: &mut Random| scenario.user(random);
    let bad = |random: &mut Random, request: &Request| random.chance(scenario.chance(request));
    let story = World {
        pace: scenario.pace,
        objectives: vec![errors(), latency()],
        steps: steps(scenario.pace),
        alpha: ALPHA,
        user: &user,
        sticky: true,
        bad: &bad,
        advance: true,
        compared: Comparable::Concurrent,
        warm_up: warm_up(scenario.pace),
        look: Millis(1_000),
        gap: Millis(25),
    }
    .story(seed);
    let end = match story.end {
        CoreEnd::Failed { .. } => End::RolledBack,
        CoreEnd::Held { .. } => End::Held,
        CoreEnd::Succeeded => End::Finished,
    };
    Told { end, harmed: story.harmed, took: story.took }
}

fn is_quiet(pace: Pace) -> bool {
    match pace {
        Pace::Steady(rps) | Pace::Daily(rps) => rps < QUIET,
    }
}

fn steps(pace: Pace) -> Vec<Step> {
    let weights: &[u16] = if is_quiet(pace) { &[10, 50] } else { &[1, 5, 25, 50] };
    canary(weights, STEP_LIMIT)
}

/// A service has a past; of a busy one a minute says as much as ten of a quiet one.
fn warm_up(pace: Pace) -> Millis {
    Millis::from_secs(if is_quiet(pace) { 600 } else { 60 })
}
