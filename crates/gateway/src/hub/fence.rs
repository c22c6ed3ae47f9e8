//! Starts of gateways that gave way to a newer one of their name: they may not come back.

use std::collections::VecDeque;

/// Starts that are remembered; one that gave way so many starts ago has long ended.
const KEPT: usize = 4_096;

/// The newest of them.
#[derive(Debug, Default)]
pub(super) struct Fence(VecDeque<String>);

impl Fence {
    /// A start gave way.
    pub(super) fn insert(&mut self, boot: String) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(boot);
    }

    /// Whether one did.
    pub(super) fn contains(&self, boot: &str) -> bool {
        self.0.iter().rev().any(|fenced| fenced == boot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_that_starts_again_and_again_leaves_no_more_than_a_few_behind() {
        let mut fence = Fence::default();
        (0..KEPT * 3).for_each(|boot| fence.insert(boot.to_string()));
        assert!(fence.0.len() <= KEPT);
        assert!(fence.contains(&(KEPT * 3 - 1).to_string()) && !fence.contains("0"));
    }
}
