//! Which steps of a canary fit the traffic: each of them has to get its verdict within its limit.

use super::super::estimate::{self, Today};
use super::super::lane::Release;
use super::super::plan::HOLD_BACK;
use crate::judge::FAIL_KEYS;
use crate::spec::{Strategy, StrategyKind};
use crate::units::{Millis, Weight};

/// Shares in basis points, from the finest ladder to the coarsest; every one ends with everybody.
const LADDERS: [&[u16]; 9] = [
    &[100, 500, 2_500, 5_000, 10_000],
    &[500, 2_500, 5_000, 10_000],
    &[500, 2_500, 10_000],
    &[1_000, 2_500, 5_000, 10_000],
    &[1_000, 5_000, 10_000],
    &[2_500, 5_000, 10_000],
    &[2_500, 10_000],
    &[5_000, 10_000],
    &[10_000],
];

/// The finest steps that today's traffic carries within `step_limit`, and how long their verdicts take together. `None`
/// where there is no traffic to go by, or too little for any.
pub(in crate::rollout) fn steps_that_fit(
    release: &Release,
    strategy: &Strategy,
    today: &Today,
) -> Option<(Vec<Weight>, Millis)> {
    let StrategyKind::Canary { step_limit, .. } = &strategy.kind else { return None };
    LADDERS.iter().filter(|ladder| ladder.len() > 1).find_map(|ladder| {
        let weights: Vec<Weight> = ladder.iter().filter_map(|bp| Weight::from_bp(*bp)).collect();
        let times = times(release, strategy, today, &weights)?;
        // A fifth is left for a day that is quieter than today.
        let fits = times.iter().all(|time| time.0 <= step_limit.0 / 5 * 4) && met_by_enough(&weights, today);
        fits.then(|| (weights, Millis(times.iter().map(|time| time.0).sum())))
    })
}

/// The step limit, in whole minutes, within which the declared steps would get their verdicts; `None` beyond a day.
pub(in crate::rollout) fn limit_that_fits(release: &Release, strategy: &Strategy, today: &Today) -> Option<Millis> {
    let StrategyKind::Canary { steps, .. } = &strategy.kind else { return None };
    let longest = times(release, strategy, today, steps)?.into_iter().max()?;
    let minutes = (longest.0 / 4 * 5).div_ceil(60_000);
    (minutes <= 24 * 60).then(|| Millis(minutes * 60_000))
}

/// How long each step below 100% needs at today's traffic if the version is as good as stable.
fn times(release: &Release, strategy: &Strategy, today: &Today, weights: &[Weight]) -> Option<Vec<Millis>> {
    let rate = today.rate.filter(|rate| *rate > 0.0)?;
    let shifts: Vec<Weight> = weights.iter().copied().filter(|weight| *weight < Weight::ALL).collect();
    let judged = shifts.len() + 1;
    shifts
        .iter()
        .enumerate()
        .map(|(i, weight)| {
            let next = shifts.get(i + 1).copied().unwrap_or(HOLD_BACK.rest());
            let needed = estimate::requests(release, strategy, judged, (*weight, next), today);
            // An objective that no number of requests could satisfy makes no step fit.
            if needed.len() < estimate::counted_objectives(release) {
                return None;
            }
            let requests = needed.iter().map(|(_, n)| *n).max().unwrap_or(0);
            Some(Millis((requests as f64 / (rate * weight.share()) * 1000.0) as u64))
        })
        .collect()
}

/// Whether enough users meet the first step for one unhappy user not to decide.
fn met_by_enough(weights: &[Weight], today: &Today) -> bool {
    let first = weights.first().map_or(0.0, |weight| weight.share());
    today.users.is_none_or(|users| users as f64 * first >= FAIL_KEYS as f64)
}
