//! Whether the gateways assign users as the split says: a weight that was confirmed is also measured.

use super::lane::Lane;
use super::observed::Observed;
use crate::traffic::link::USERS_KEPT;
use crate::units::Weight;

/// Chance, at most, of calling a split broken that is kept, over all looks at it.
const FALSE_ALARM: f64 = 1e-6;

/// What is wrong with the assignment of users to the versions of the split in force, if it is shown that something is.
///
/// A version without a share gets nobody. Elsewhere each user is one draw; by Chernoff's bound a share `p` of `n` draws
/// has a chance of at most `exp(-n KL(p, weight))` on either side (Hoeffding, 1963, theorem 1), and the false alarms of
/// all looks together are bounded by their sum over every `n` that can be seen.
pub(super) fn broken(lane: &Lane, seen: &Observed) -> Option<String> {
    let routing = lane.routing.as_ref()?;
    let tallies = || seen.evidence.rows.iter().filter(|((epoch, _), _)| *epoch == routing.epoch);
    let unasked = tallies().find(|((_, v), tally)| routing.split.weight(v) == Weight::ZERO && tally.assigned > 0);
    if let Some(((_, version), tally)) = unasked {
        let n = tally.assigned;
        return Some(format!("the split is not kept: {n} requests were assigned to {version}, which should have none"));
    }
    let n: u64 = tallies().map(|(_, tally)| tally.users).sum();
    if n == 0 {
        return None;
    }
    let weight = |version| routing.split.weight(version);
    let off = tallies().filter(|((_, version), tally)| {
        n as f64 * divergence(tally.users as f64 / n as f64, weight(version).share()) > limit()
    });
    let ((_, version), tally) = off.min_by_key(|((_, version), _)| weight(version))?;
    let (users, weight) = (tally.users, weight(version));
    Some(format!("the split is not kept: {users} of {n} users were assigned to {version}, which should have {weight}"))
}

/// The exponent above which a deviation is no accident.
fn limit() -> f64 {
    (2.0 * USERS_KEPT as f64 / FALSE_ALARM).ln()
}

/// Kullback and Leibler's divergence of one share from another, in nats.
fn divergence(seen: f64, meant: f64) -> f64 {
    let part = |p: f64, q: f64| if p > 0.0 { p * (p / q).ln() } else { 0.0 };
    part(seen, meant) + part(1.0 - seen, 1.0 - meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether `seen` of `n` users at a weight of `bp` is called a broken split.
    fn off(n: u64, seen: u64, bp: u16) -> bool {
        let meant = Weight::from_bp(bp).expect("a weight").share();
        n as f64 * divergence(seen as f64 / n as f64, meant) > limit()
    }

    #[test]
    fn a_few_users_show_nothing_and_many_show_a_lot() {
        assert!(!off(4, 0, 5_000) && !off(20, 15, 5_000), "chance");
        assert!(off(40, 40, 5_000) && off(40, 0, 5_000), "nobody, or everybody");
        assert!(!off(1_000, 540, 5_000) && off(1_000, 620, 5_000), "half is not six in ten");
        assert!(!off(500, 0, 100) && off(3_000, 0, 100), "one in a hundred is missed late");
        assert!(off(300, 30, 100), "ten times the share is noticed early");
        assert!(!off(4_096, 4_096, 10_000));
    }
}
