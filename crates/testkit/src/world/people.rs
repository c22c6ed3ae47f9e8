//! What people ask for, and what the story notes of it.

use slipway_core::hook::Word;
use slipway_core::journal::Fact;
use slipway_core::names::VersionName;
use slipway_core::rollout::{self, Refusal, RolloutKind, Turn, commands};
use slipway_core::units::Timestamp;

use super::World;

impl World {
    /// Asks for a release.
    pub fn release(&mut self, version: &str) -> Result<(), Refusal> {
        let asked = self.asked(RolloutKind::Release, version);
        self.command(|turn, now| commands::release(turn, asked, false, now))
    }

    /// Asks for the way back.
    pub fn rollback(&mut self, to: Option<&str>) -> Result<(), Refusal> {
        self.rollback_by("user:test", to)
    }

    pub(super) fn rollback_by(&mut self, who: &str, to: Option<&str>) -> Result<(), Refusal> {
        let to = to.map(|v| v.parse().expect("a valid version"));
        let asked = match commands::way_back(&self.lane, to.as_ref())? {
            commands::Back::TakeBack => None,
            commands::Back::To(version) => Some(self.asked(RolloutKind::Rollback, version.as_str())),
        };
        self.command(|turn, now| commands::rollback(turn, asked, who, now))
    }

    /// Asks for a drill of the way back.
    pub fn drill(&mut self, cold: bool) -> Result<(), Refusal> {
        let seen = self.observe();
        let to = rollout::drillable(&self.lane, &seen)?;
        let asked = self.asked(RolloutKind::Drill { cold }, to.version.as_str());
        self.command(|turn, _| commands::drill(turn, asked, &seen))
    }

    /// Lets a person say something.
    pub fn command(&mut self, wish: impl FnOnce(&mut Turn, Timestamp) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let seen = self.observe();
        let mut turn = Turn::new(&self.lane);
        wish(&mut turn, self.now)?;
        rollout::complete(&mut turn, &seen, self.now);
        self.results.clear();
        self.apply(turn);
        Ok(())
    }

    /// Somebody gives their word for what waits, as it is shown now or as it was shown at first.
    pub fn approve(&mut self, who: &str) -> Result<(), Refusal> {
        let Some(asked) = self.lane.queue.first().cloned() else {
            return Err(Refusal { code: "not_waiting", reason: "nothing waits".to_string() });
        };
        let shown = self.shown.clone().unwrap_or_else(|| rollout::gates::seal(&self.lane, &asked));
        let seen = self.observe();
        let by = format!("user:{who}");
        self.command(|turn, now| commands::approve(turn, &asked.id, &by, &shown, &seen, now))
    }

    /// Somebody looks at what waits, and will approve that and nothing else.
    pub fn look(&mut self) {
        self.shown = self.lane.queue.first().map(|asked| rollout::gates::seal(&self.lane, asked));
    }

    /// A version errs from now on as it did not before.
    pub fn worsen(&mut self, version: VersionName, share: f64) {
        self.service.behaviour.errors.insert(version, share);
    }

    /// Writes a line into the story.
    pub fn note(&mut self, line: &str) {
        let fact = Fact {
            kind: "story".to_string(),
            lane: Some(self.lane.id.clone()),
            rollout: None,
            actor: rollout::ENGINE.to_string(),
            cause: line.to_string(),
            evidence: serde_json::Value::Null,
        };
        self.journal.push((self.now, fact));
    }

    /// From now on a hook answers this; nothing where `word` is absent.
    pub fn says(&mut self, hook: &str, word: Option<Word>) {
        match word {
            Some(word) => drop(self.service.answers.insert(hook.to_string(), word)),
            None => drop(self.service.answers.remove(hook)),
        }
    }
}
