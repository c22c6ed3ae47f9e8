//! Two policies at once: what a release declares and what its environment's own file asks for. The stricter of the two
//! holds, so that neither loosens the other.

use super::policy::{Approvals, Gates};
use super::read::always_within;

impl Gates {
    /// Gates that hold where both do.
    pub fn together(&self, other: &Gates) -> Gates {
        let mut both = self.clone();
        both.approvals = match (&self.approvals, &other.approvals) {
            (Some(ours), Some(theirs)) => Some(ours.together(theirs)),
            (ours, theirs) => ours.clone().or(theirs.clone()),
        };
        add(&mut both.freeze, &other.freeze);
        add(&mut both.after, &other.after);
        add(&mut both.readiness, &other.readiness);
        both
    }

    /// Why they can never hold, where that is so.
    pub fn never_hold(&self) -> Option<String> {
        if let Some(Approvals { count, from, .. }) = &self.approvals
            && !from.is_empty()
            && *count as usize > from.len()
        {
            return Some(match from.as_slice() {
                [nobody] if nobody == NOBODY => "nobody may approve by the one that may by the other".to_string(),
                from => format!("{count} approvals are asked for, and only {} may give one", from.join(", ")),
            });
        }
        let windows: Vec<_> = self.freeze.iter().map(|f| &f.window).filter(|w| w.recurs()).collect();
        let always = !windows.is_empty() && always_within(&windows);
        always.then(|| "the freezes leave no time of the week at which a release could begin".to_string())
    }
}

/// What stands in a list of people that nobody is on. No token has such a name.
const NOBODY: &str = "(nobody)";

impl Approvals {
    fn together(&self, other: &Approvals) -> Approvals {
        let from = match (self.from.as_slice(), other.from.as_slice()) {
            ([], from) | (from, []) => from.to_vec(),
            (ours, theirs) => {
                let both: Vec<String> = ours.iter().filter(|name| theirs.contains(name)).cloned().collect();
                // An empty list means anybody, which is the opposite.
                if both.is_empty() { vec![NOBODY.to_string()] } else { both }
            }
        };
        let nobody = from.iter().any(|name| name == NOBODY);
        // Never enough of them.
        let count = self.count.max(other.count).max(if nobody { 2 } else { 1 });
        Approvals { count, from, expire: self.expire.min(other.expire) }
    }
}

fn add<T: PartialEq + Clone>(list: &mut Vec<T>, more: &[T]) {
    for item in more {
        if !list.contains(item) {
            list.push(item.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gates(text: &str) -> Gates {
        let file = format!("environment: production\ngates: {text}\n");
        crate::spec::environment_file::parse(&file).unwrap_or_else(|m| panic!("{m:#?}")).file.gates
    }

    #[test]
    fn the_stricter_of_two_holds_whichever_comes_first() {
        let open = gates("{}");
        let one = gates("{ approvals: { count: 1, from: [alice, bob, carol], expire: 8h }, readiness: [owner] }");
        let two =
            gates("{ approvals: { count: 2, from: [bob, carol, dora] }, readiness: [owner, smoke], after: [ledger] }");
        assert_eq!(open.together(&one), one);
        assert_eq!(one.together(&open), one);
        for both in [one.together(&two), two.together(&one)] {
            let approvals = both.approvals.clone().unwrap();
            assert_eq!((approvals.count, approvals.from), (2, vec!["bob".to_string(), "carol".to_string()]));
            assert_eq!(approvals.expire.to_string(), "8h");
            assert_eq!((both.readiness.len(), both.after.len()), (2, 1));
            assert_eq!(both.never_hold(), None);
            assert_eq!(both.together(&two), both, "once more changes nothing");
        }
    }

    #[test]
    fn two_that_cannot_hold_together_are_found_and_let_nobody_through() {
        let alice = gates("{ approvals: { from: [alice] } }");
        let bob = gates("{ approvals: { from: [bob] } }");
        let both = alice.together(&bob);
        assert!(both.never_hold().is_some_and(|why| why.contains("nobody")), "{both:?}");
        assert!(!both.approvals.is_some_and(|a| a.from.is_empty()), "an empty list would be anybody");
        let week = gates("{ freeze: [{ window: \"Mon 00:00 to Fri 12:00 UTC\" }] }");
        let rest = gates("{ freeze: [{ window: \"Fri 11:00 to Mon 01:00 UTC\" }] }");
        assert_eq!(week.never_hold(), None);
        assert!(week.together(&rest).never_hold().is_some_and(|why| why.contains("no time of the week")));
    }
}
