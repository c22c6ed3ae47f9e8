//! What a simulated gateway counts for one objective: both versions under the per-user cap, and stable's last ten seconds
//! and ten minutes.

use std::collections::VecDeque;

use super::Request;
use crate::judge::{Counts, UserCap};
use crate::units::{Millis, Timestamp};

/// Sums over a sliding stretch of time.
pub(super) struct Window {
    bucket: u64,
    buckets: usize,
    parts: VecDeque<(u64, Counts)>,
    total: Counts,
}

impl Window {
    fn new(bucket: Millis, buckets: usize) -> Window {
        Window { bucket: bucket.0, buckets, parts: VecDeque::new(), total: Counts::default() }
    }

    fn add(&mut self, at: Timestamp, bad: bool) {
        let slot = at.0 / self.bucket;
        if self.parts.back().is_none_or(|(last, _)| *last != slot) {
            self.parts.push_back((slot, Counts::default()));
        }
        let event = Counts { n: 1, bad: u64::from(bad), bad_keys: 0 };
        self.total += event;
        if let Some((_, counts)) = self.parts.back_mut() {
            *counts += event;
        }
    }

    pub(super) fn sum(&mut self, now: Timestamp) -> Counts {
        let slot = now.0 / self.bucket;
        while self.parts.front().is_some_and(|(first, _)| first + self.buckets as u64 <= slot) {
            if let Some((_, gone)) = self.parts.pop_front() {
                self.total.n -= gone.n;
                self.total.bad -= gone.bad;
            }
        }
        self.total
    }
}

/// What is counted for one objective.
pub(super) struct Tally {
    pub(super) candidate: Counts,
    pub(super) stable: Counts,
    candidate_cap: UserCap,
    stable_cap: UserCap,
    pub(super) before: Counts,
    pub(super) ten_seconds: Window,
    pub(super) ten_minutes: Window,
    pub(super) waiting_since: Option<Timestamp>,
}

impl Tally {
    pub(super) fn new() -> Tally {
        Tally {
            candidate: Counts::default(),
            stable: Counts::default(),
            candidate_cap: UserCap::default(),
            stable_cap: UserCap::default(),
            before: Counts::default(),
            ten_seconds: Window::new(Millis(100), 100),
            ten_minutes: Window::new(Millis(1000), 600),
            waiting_since: None,
        }
    }

    pub(super) fn restart(&mut self) {
        self.candidate = Counts::default();
        self.stable = Counts::default();
        self.candidate_cap = UserCap::default();
        self.stable_cap = UserCap::default();
        self.waiting_since = None;
    }

    pub(super) fn count(&mut self, request: &Request, bad: bool) {
        let (counts, cap) = match request.to_candidate {
            true => (&mut self.candidate, &mut self.candidate_cap),
            false => (&mut self.stable, &mut self.stable_cap),
        };
        if !cap.record(request.user, bad) {
            return;
        }
        counts.n += 1;
        counts.bad += u64::from(bad);
        counts.bad_keys = cap.bad_keys();
        if !request.to_candidate {
            self.ten_seconds.add(request.at, bad);
            self.ten_minutes.add(request.at, bad);
        }
    }
}
