//! Argo Rollouts' background analysis.
//!
//! By its documentation (docs/features/analysis.md): the canary's weight grows by 20% every ten minutes from 20% to
//! 80%, and then it gets everything; a metric is measured at `interval` 5m over the last five minutes against its
//! `successCondition`; when more than `failureLimit` 3 measurements have failed, the analysis has failed and the
//! rollout aborts, with the weight back at zero. (The field's reference calls it the number of times that a measurement
//! may fail, 0 by default; the page's prose, "three such measurements", is one fewer. The reference is followed.)
//! Each metric has a count of its own. No request makes no number, for which the page shows
//! `successCondition: isNaN(result) || …`. The analysis runs from the first step, and not from the third as on the
//! page, and measures the canary alone: both are for the better.

use slipway_core::units::Millis;

use super::{AT_MOST, Course, Exposure, Next, OBJECTIVES, Seen};

/// One analysis run beside its canary steps.
#[derive(Debug, Clone, Default)]
pub struct Argo {
    failed: [u32; OBJECTIVES],
    measurements: usize,
}

const INTERVAL: Millis = Millis::from_secs(300);
/// Two measurements at each.
const WEIGHTS: [f64; 4] = [0.2, 0.4, 0.6, 0.8];
const PER_WEIGHT: usize = 2;
const FAILURE_LIMIT: u32 = 3;

impl Course for Argo {
    fn exposure(&self) -> Exposure {
        let step = (self.measurements / PER_WEIGHT).min(WEIGHTS.len() - 1);
        Exposure { candidate: WEIGHTS[step], baseline: 0.0 }
    }

    fn interval(&self) -> Millis {
        INTERVAL
    }

    fn look(&mut self, seen: &Seen) -> Next {
        self.measurements += 1;
        for (objective, failed) in self.failed.iter_mut().enumerate() {
            let success = seen.candidate.rate(objective).is_none_or(|rate| rate <= AT_MOST[objective]);
            *failed += u32::from(!success);
            if *failed > FAILURE_LIMIT {
                return Next::RolledBack;
            }
        }
        if self.measurements == WEIGHTS.len() * PER_WEIGHT { Next::Finished } else { Next::GoOn }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Sum;
    use super::*;

    fn measured(bad: [u64; OBJECTIVES]) -> Seen {
        Seen { candidate: Sum { n: 1_000, bad }, ..Seen::default() }
    }

    #[test]
    fn the_fourth_failed_measurement_of_one_metric_aborts_and_eight_end_the_steps() {
        let mut bad = Argo::default();
        let looks: Vec<Next> = (0..4).map(|_| bad.look(&measured([11, 0]))).collect();
        assert_eq!(looks, [Next::GoOn, Next::GoOn, Next::GoOn, Next::RolledBack]);
        let mut split = Argo::default();
        let looks: Vec<Next> = (0..8)
            .map(|k| {
                split.look(&measured(if k < 3 {
                    [11, 0]
                } else if k < 6 {
                    [0, 51]
                } else {
                    [10, 50]
                }))
            })
            .collect();
        assert_eq!((looks[6], looks[7]), (Next::GoOn, Next::Finished), "three of each are allowed");
        let mut weights = Argo::default();
        let seen: Vec<f64> = (0..8).map(|_| (weights.exposure().candidate, weights.look(&Seen::default())).0).collect();
        assert_eq!(seen, [0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8, 0.8]);
    }
}
