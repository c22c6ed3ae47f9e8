//! What a story is told beside the journal: who was served by what, who met whom, and how much is kept.

use std::ops::RangeInclusive;

use slipway_core::names::VersionName;
use slipway_core::rollout::Refusal;
use slipway_core::units::Millis;

use super::World;

/// Longer than any rollout of a story takes.
const LONG: Millis = Millis::from_secs(3_600);

impl World {
    /// Notes the requests that each version got since the last such note.
    pub fn note_served(&mut self) {
        let since = |(version, n): (&VersionName, &u64)| {
            let before = self.noted.get(version).copied().unwrap_or(0);
            format!("{version} {}", n - before)
        };
        let served: Vec<String> = self.served.iter().map(since).collect();
        self.noted = self.served.clone();
        self.note(&format!("requests served since: {}", served.join(", ")));
    }

    /// Notes how many users have met which version, and how many requests took a user back to a version that it had left.
    pub fn note_users(&mut self) {
        let of = self.users_met.len();
        let met = |version: &VersionName| self.users_met.values().filter(|met| met.contains(version)).count();
        let counts: Vec<String> = self.served.keys().map(|v| format!("{} met {v}", met(v))).collect();
        let moved = self.moved;
        self.note(&format!("of {of} users {}; {moved} went back to what they had left", counts.join(", ")));
    }

    /// Notes how much is kept of the lane, and of what is seen of it.
    pub fn note_weight(&mut self) {
        let bytes = serde_json::to_string(&self.lane).map_or(0, |text| text.len());
        let (slots, epochs) = (self.lane.slots.len(), self.observe().evidence.rows.len());
        self.note(&format!("kept: {} kB, {slots} instances, counts of {epochs} stretches", bytes.div_ceil(1_000)));
    }

    /// Releases one version after the other, each to its end.
    ///
    /// # Errors
    /// The first that is refused.
    pub fn many(&mut self, numbers: RangeInclusive<u32>) -> Result<(), Refusal> {
        for number in numbers {
            self.release(&format!("{number}.0.0"))?;
            self.settle(LONG);
        }
        Ok(())
    }

    pub(super) fn note_user(&mut self, user: u64, version: &VersionName) {
        if self.service.users.count == 0 {
            return;
        }
        let met = self.users_met.entry(user).or_default();
        let last = met.last().is_none_or(|newest| newest <= version);
        met.insert(version.clone());
        self.moved += u64::from(!last);
    }
}
