//! Which looks can come to nothing. Compared with stable at the same time, a fail needs the candidate to be shown above
//! `at_most`, or above stable by more than is tolerated; a pass needs its upper bound below that of the next step, which is
//! asked here with stable's rate as it was seen: better than any bound of it, so what this leaves out the judge would
//! have left open.

use crate::judge::beside::Beside;
use crate::judge::sequence::Sequence;
use crate::judge::{Budget, Counts};
use crate::spec::{Objective, Tolerate};
use crate::units::Weight;

/// What a look may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Screen {
    pub(super) may_fail: bool,
    pub(super) may_pass: bool,
}

impl Screen {
    pub(super) fn of(
        (sequence, beside): (&Sequence, &Beside),
        objective: &Objective,
        budget: &Budget,
        (candidate, stable): (Counts, Counts),
        next: Weight,
    ) -> Screen {
        let Tolerate::Share(share) = objective.tolerate else {
            return Screen { may_fail: true, may_pass: true };
        };
        let level = budget.alpha / 2.0;
        Screen {
            may_fail: sequence.shown_above(candidate, objective.at_most, level)
                || beside.shown_above(candidate, stable, share, level),
            may_pass: sequence.shown_within(candidate, stable.rate() + share / next.share(), budget.beta / 2.0),
        }
    }
}
