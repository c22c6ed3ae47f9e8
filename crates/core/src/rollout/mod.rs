//! Rollouts: plan, state and decisions.
