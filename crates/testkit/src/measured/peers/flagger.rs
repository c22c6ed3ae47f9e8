//! Flagger's threshold counter.
//!
//! By its documentation (docs/gitbook/usage/deployment-strategies.md, metrics.md): "The canary analysis runs
//! periodically until it reaches the maximum traffic weight or the failed checks threshold." At every tick of
//! `interval` each metric of the canary is held against its `thresholdRange`; if one is outside, advancement halts and
//! the failed checks counter grows by one; when it has reached `threshold`, all traffic goes back to primary; otherwise
//! the weight grows by `stepWeight` until `maxWeight`, and the canary is promoted. The counter is that of the whole
//! run: no good tick takes anything off it. A metric without a value halts and counts as a failed check.

use slipway_core::units::Millis;

use super::{AT_MOST, Course, Exposure, Next, OBJECTIVES, Seen};

/// One canary analysis.
#[derive(Debug, Clone)]
pub struct Flagger {
    interval: Millis,
    threshold: u32,
    max_weight: u32,
    step_weight: u32,
    weight: u32,
    failed_checks: u32,
}

impl Flagger {
    /// Ten ticks (`stepWeight` 5, `maxWeight` 50, as in the tutorials) of this length.
    pub fn new(interval: Millis, threshold: u32) -> Flagger {
        Flagger { interval, threshold, max_weight: 50, step_weight: 5, weight: 5, failed_checks: 0 }
    }
}

impl Course for Flagger {
    fn exposure(&self) -> Exposure {
        Exposure { candidate: f64::from(self.weight) / 100.0, baseline: 0.0 }
    }

    fn interval(&self) -> Millis {
        self.interval
    }

    fn look(&mut self, seen: &Seen) -> Next {
        let within = |objective: usize| seen.candidate.rate(objective).is_some_and(|rate| rate <= AT_MOST[objective]);
        if !(0..OBJECTIVES).all(within) {
            self.failed_checks += 1;
            return if self.failed_checks >= self.threshold { Next::RolledBack } else { Next::GoOn };
        }
        if self.weight >= self.max_weight {
            return Next::Finished;
        }
        self.weight += self.step_weight;
        Next::GoOn
    }
}

#[cfg(test)]
mod tests {
    use slipway_core::judge::simulation::Random;

    use super::super::Sum;
    use super::super::draws::binomial;
    use super::*;

    fn tick(bad: u64) -> Seen {
        Seen { candidate: Sum { n: 1_000, bad: [bad, 0] }, ..Seen::default() }
    }

    #[test]
    fn ten_good_ticks_promote_and_bad_ones_add_up_over_the_whole_run() {
        let mut good = Flagger::new(Millis::from_secs(60), 2);
        let looks: Vec<Next> = (0..10).map(|_| good.look(&tick(10))).collect();
        assert_eq!(looks.last(), Some(&Next::Finished));
        assert!(looks[..9].iter().all(|next| *next == Next::GoOn));
        let mut bad = Flagger::new(Millis::from_secs(60), 2);
        assert_eq!(bad.look(&tick(11)), Next::GoOn);
        assert_eq!(bad.exposure().candidate, 0.05, "advancement halts");
        (0..5).for_each(|_| assert_eq!(bad.look(&tick(0)), Next::GoOn));
        assert_eq!(bad.look(&tick(11)), Next::RolledBack);
        assert_eq!(Flagger::new(Millis::from_secs(60), 1).look(&Seen::default()), Next::RolledBack, "no value");
    }

    /// By hand: a tick of 50 requests is bad with a chance of 1 - 0.995^50 = 22.2%, and two (five) bad ones come
    /// before ten good ones with a chance of 73.8% (18.1%).
    #[test]
    fn a_healthy_service_of_fifty_requests_a_tick_is_rolled_back_as_often_as_computed() {
        for (threshold, computed) in [(2, 0.738), (5, 0.181)] {
            let mut random = Random::new(7);
            let runs = 4_000;
            let mut rolled_back = |_: &u32| {
                let mut course = Flagger::new(Millis::from_secs(60), threshold);
                loop {
                    let candidate = Sum { n: 50, bad: [binomial(&mut random, 50, 0.005), 0] };
                    match course.look(&Seen { candidate, ..Seen::default() }) {
                        Next::GoOn => {}
                        next => return next == Next::RolledBack,
                    }
                }
            };
            let share = (0..runs).filter(|run| rolled_back(run)).count() as f64 / f64::from(runs);
            assert!((share - computed).abs() < 0.02, "threshold {threshold}: {share}, computed {computed}");
        }
    }
}
