//! A judgement in one sentence for people, with its numbers: what was seen, against what, and what is waited for.

use super::multiple::largest_ratio;
use super::verdict::{Ground, Look};
use super::{Evidence, Micros, Rule, StableNumbers, Verdict};
use crate::spec::{Bad, Objective, Tolerate};
use crate::units::Timestamp;

/// How the sentence begins where nothing was reported yet.
pub(crate) const NOTHING_REPORTED: &str = "nothing reported";

/// What an inconclusive judgement waits for.
pub(super) enum Waiting {
    /// Nothing that requests could bring; with the ground of a fail.
    Nothing(Option<Ground>),
    /// Bad events from more users.
    Keys,
    /// Stable to be within `at_most` again.
    Recovery,
    /// Stable's word on a suspicion.
    Stable(Ground),
    /// This many more requests of the candidate, where a number is known.
    Requests(Option<u64>),
}

/// The sentence.
pub(super) fn tell(
    objective: &Objective,
    evidence: &Evidence,
    look: &Look,
    verdict: Verdict,
    waiting: &Waiting,
    now: Timestamp,
) -> String {
    let words = Words { objective, evidence, look };
    if evidence.candidate.n == 0 {
        let what = if objective.bad.is_reported() { NOTHING_REPORTED } else { "no requests seen" };
        return format!("{what} in {}{}", now.since(evidence.since), words.still_needed(waiting));
    }
    match (verdict, waiting) {
        (Verdict::Fail, Waiting::Nothing(Some(ground))) => words.against(*ground),
        (Verdict::Pass, _) => words.in_favour(),
        (_, Waiting::Keys) => format!(
            "{}, but by {} only: a fail needs bad requests of three users",
            words.seen(),
            count(evidence.candidate.bad_keys, "user")
        ),
        (_, Waiting::Recovery) => format!(
            "{}, and stable is itself above {}: nobody is judged by that",
            words.seen(),
            percent(objective.at_most)
        ),
        (_, Waiting::Stable(ground)) => {
            format!(
                "{}; waiting for stable's requests to tell whether it is in the same trouble",
                words.against(*ground)
            )
        }
        _ => format!("{}{}", words.seen_beside_stable(), words.still_needed(waiting)),
    }
}

struct Words<'a> {
    objective: &'a Objective,
    evidence: &'a Evidence,
    look: &'a Look<'a>,
}

impl Words<'_> {
    /// "12 of 340 requests failed (3.5%)".
    fn seen(&self) -> String {
        let counts = self.evidence.candidate;
        let what = match &self.objective.bad {
            Bad::Failed => "failed".to_string(),
            Bad::SlowerThan(bound) => format!("took longer than {bound}"),
            Bad::SlowerThanStable { quantile, bound_us } => match bound_us {
                Some(bound) => format!("took longer than {}, stable's {quantile}", Micros(*bound)),
                None => format!("took longer than stable's {quantile}"),
            },
            Bad::Outcome { .. } | Bad::Missing { .. } => return self.reported(),
        };
        format!("{} of {} {what} ({})", grouped(counts.bad), count(counts.n, "request"), percent(counts.rate()))
    }

    /// "12 order_failed of 340 order_placed (3.5%)".
    fn reported(&self) -> String {
        let counts = self.evidence.candidate;
        let (bad, of) = match &self.objective.bad {
            Bad::Outcome { kind, of } => (kind.to_string(), of.as_ref().map(|of| of.to_string())),
            Bad::Missing { kind, after, within } => {
                (format!("without {kind} within {within}"), Some(after.to_string()))
            }
            Bad::Failed | Bad::SlowerThan(_) | Bad::SlowerThanStable { .. } => (String::new(), None),
        };
        let of = of.map_or_else(|| count(counts.n, "request"), |of| format!("{} {of}", grouped(counts.n)));
        match self.objective.bad {
            Bad::Missing { .. } => format!("{} of {of} {bad} ({})", grouped(counts.bad), percent(counts.rate())),
            _ => format!("{} {bad} of {of} ({})", grouped(counts.bad), percent(counts.rate())),
        }
    }

    /// "stable's 30 of 9,000 (0.33%)".
    fn stable(&self, stable: &StableNumbers) -> String {
        let when = if stable.before { "stable before the change" } else { "stable" };
        if stable.n == 0 {
            return format!("{when} has no requests to compare with");
        }
        let rate = stable.bad.min(stable.n) as f64 / stable.n as f64;
        format!("{when} {} of {} ({})", grouped(stable.bad), grouped(stable.n), percent(rate))
    }

    fn seen_beside_stable(&self) -> String {
        match &self.look.stable {
            Some(stable) => format!("{}, {}", self.seen(), self.stable(stable)),
            None => self.seen(),
        }
    }

    /// The bound that a candidate broke.
    fn against(&self, ground: Ground) -> String {
        let seen = self.seen_beside_stable();
        match (ground, self.look.excess, self.objective.tolerate) {
            (Ground::Excess, Some(excess), Tolerate::Share(share)) => format!(
                "{seen}: at least {} more than stable, where {} more is tolerated",
                percent(excess.lower),
                percent(share)
            ),
            (Ground::Excess, Some(_), Tolerate::Times(most)) => format!(
                "{seen}: at least {} times stable's rate, where {} times is tolerated",
                times(self.look.times.map_or(0.0, |t| t.lower)),
                times(most)
            ),
            _ => format!(
                "{seen}: at least {}, where at most {} is acceptable",
                percent(self.look.candidate.lower),
                percent(self.objective.at_most)
            ),
        }
    }

    /// The bound that a candidate kept.
    fn in_favour(&self) -> String {
        let seen = self.seen_beside_stable();
        let next = self.evidence.next_weight;
        match (self.look.excess, self.objective.tolerate) {
            (Some(_), Tolerate::Times(most)) => match self.look.times.map(|t| t.upper) {
                Some(ratio) if ratio <= largest_ratio(most, next.share()) => format!(
                    "{seen}: at most {} times stable's rate, so at {next} of the traffic at most {} times overall, \
                     where {} is tolerated",
                    times(ratio),
                    times(1.0 + (ratio - 1.0).max(0.0) * next.share()),
                    times(most)
                ),
                _ => format!(
                    "{seen}: at most {}, so at {next} of the traffic at most {} overall, within half of the {} that is \
                     acceptable",
                    percent(self.look.candidate.upper),
                    percent(self.look.candidate.upper * next.share()),
                    percent(self.objective.at_most)
                ),
            },
            (Some(excess), Tolerate::Share(share)) => format!(
                "{seen}: at most {} more than stable, so at {} of the traffic at most {} more overall, \
                 where {} is tolerated",
                percent(excess.upper.max(0.0)),
                next,
                percent(excess.upper.max(0.0) * next.share()),
                percent(share)
            ),
            (None, _) => format!("{seen}: at most {}", percent(self.look.candidate.upper)),
        }
    }

    /// What a waiting step waits for, as the end of a sentence.
    fn still_needed(&self, waiting: &Waiting) -> String {
        match *waiting {
            Waiting::Requests(Some(more)) => {
                let about = if more < 20 { "" } else { "about " };
                format!(
                    "; {about}{} needed to go on to {}",
                    count_more(if more < 20 { more } else { rounded(more) }),
                    self.evidence.next_weight
                )
            }
            Waiting::Requests(None) => {
                format!(
                    "; at this rate no number of requests would show it good enough for {}",
                    self.evidence.next_weight
                )
            }
            _ if self.evidence.rule == Rule::FailOnly => {
                "; not enough to prove it good, and no sign that it is worse".to_string()
            }
            _ => String::new(),
        }
    }
}

/// A share with two significant digits: `0.031%`, `0.42%`, `3.5%`, `35%`, `100%`.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent <= 0.0 {
        return "0%".to_string();
    }
    let digits = match percent {
        p if p >= 9.95 => 0,
        p if p >= 0.995 => 1,
        p if p >= 0.0995 => 2,
        _ => 3,
    };
    let text = format!("{percent:.digits$}");
    match text.contains('.') {
        true => format!("{}%", text.trim_end_matches('0').trim_end_matches('.')),
        false => format!("{text}%"),
    }
}

/// A multiple with two significant digits below ten: `1.3`, `2`, `15`.
fn times(ratio: f64) -> String {
    if ratio >= 9.95 {
        return format!("{ratio:.0}");
    }
    let text = format!("{ratio:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_string)
}

fn count(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(n), if n == 1 { "" } else { "s" })
}

fn count_more(n: u64) -> String {
    format!("{} more request{}", grouped(n), if n == 1 { " is" } else { "s are" })
}

/// To two significant digits.
fn rounded(n: u64) -> u64 {
    let unit = 10u64.pow(n.max(1).ilog10().saturating_sub(1));
    n.div_ceil(unit) * unit
}

/// `12345678` as `12,345,678`.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        let text = [0.0, 0.000312, 0.0042, 0.005, 0.035, 0.1, 0.354, 0.996, 1.0].map(percent);
        assert_eq!(text, ["0%", "0.031%", "0.42%", "0.5%", "3.5%", "10%", "35%", "100%", "100%"]);
        assert_eq!([0, 999, 1000, 12_345_678].map(grouped), ["0", "999", "1,000", "12,345,678"]);
        assert_eq!([1, 99, 123, 831].map(rounded), [1, 99, 130, 840]);
    }
}
