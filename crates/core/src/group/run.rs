//! What a group release does next, from how its members are.

use serde_json::json;

use super::{GroupRun, GroupState, Member, MemberProgress};
use crate::journal::Fact;
use crate::names::VersionName;
use crate::rollout::{ENGINE, Outcome};
use crate::units::{Millis, Timestamp};

/// How long the way back of one member may take before it no longer keeps the others. It outlasts the limit after which the
/// member's own rollout asks for a person, so that whoever looks finds the reason there.
const BACK_LIMIT: Millis = Millis::from_secs(600);

/// How the rollout of a member stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is open.
    Open,
    /// It needs a person.
    Held(String),
    /// It waits its turn, or for somebody's word.
    Queued,
    /// It is over.
    Ended(Outcome, String),
}

/// What is seen of a member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberSeen {
    /// The rollout that its progress is about; absent where it is not known.
    pub rollout: Option<Standing>,
    /// What serves.
    pub stable: Option<VersionName>,
    /// Beyond the usual, how long its way back may take: a worker finishes the jobs at hand.
    pub patience: Millis,
}

/// What is to be done next. Each is idempotent under a key of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Nothing until something changes.
    Wait,
    /// Ask for the release of a member.
    Release(usize),
    /// Ask for the way back of a member.
    TakeBack(usize),
    /// Withdraw the release of a member that has not begun.
    Withdraw(usize),
    /// Find out whether the release of a member was asked for before the control plane died.
    LookUp(usize),
}

impl GroupRun {
    /// Takes in how the members are, and says what to do next and what to record. `seen` has the order of `members`.
    pub fn advance(&mut self, seen: &[MemberSeen], now: Timestamp) -> (Act, Vec<Fact>) {
        let mut facts = Vec::new();
        // A member may end and the next begin in one look; there are never more moves than twice the members.
        for _ in 0..=2 * self.members.len() {
            let act = match self.state.clone() {
                GroupState::Going => self.forth(seen, now, &mut facts),
                GroupState::Returning { cause, actor } => self.back(seen, &cause, &actor, now, &mut facts),
                GroupState::Ended { .. } => Some(Act::Wait),
            };
            if let Some(act) = act {
                return (act, facts);
            }
        }
        (Act::Wait, facts)
    }

    /// Turns it round.
    pub fn turn_back(&mut self, cause: &str, actor: &str, facts: &mut Vec<Fact>) {
        facts.push(self.fact("group.returning", actor, cause.to_string()));
        self.state = GroupState::Returning { cause: cause.to_string(), actor: actor.to_string() };
    }

    fn forth(&mut self, seen: &[MemberSeen], now: Timestamp, facts: &mut Vec<Fact>) -> Option<Act> {
        let settled = |m: &Member| matches!(m.progress, MemberProgress::Released { .. } | MemberProgress::Unchanged);
        let Some(i) = self.members.iter().position(|member| !settled(member)) else {
            let cause = format!("every service of {} serves what was asked for", self.group);
            self.end(Outcome::Succeeded, cause, now, facts);
            return Some(Act::Wait);
        };
        match (&self.members[i].progress, seen.get(i).and_then(|s| s.rollout.as_ref())) {
            (MemberProgress::Pending, _) => {
                let (service, version) = (self.members[i].service.clone(), self.members[i].version.clone());
                self.members[i].progress = MemberProgress::Releasing { rollout: None };
                facts.push(self.fact("group.releasing", ENGINE, format!("{version} of {service} is released")));
                Some(Act::Release(i))
            }
            (MemberProgress::Releasing { rollout: None }, _) => Some(Act::Release(i)),
            (MemberProgress::Releasing { rollout: Some(rollout) }, Some(Standing::Ended(outcome, cause))) => {
                let (rollout, outcome, cause) = (rollout.clone(), *outcome, cause.clone());
                if outcome == Outcome::Succeeded {
                    self.members[i].progress = MemberProgress::Released { rollout };
                    return None;
                }
                let cause = format!("{}: {cause}", outcome.as_str().replace('_', " "));
                self.members[i].progress = MemberProgress::Failed { rollout: Some(rollout), cause };
                None
            }
            (MemberProgress::Failed { cause, .. }, _) => {
                let cause = format!("{} {}", self.members[i].service, cause);
                self.turn_back(&cause, ENGINE, facts);
                None
            }
            _ => Some(Act::Wait),
        }
    }

    fn back(
        &mut self,
        seen: &[MemberSeen],
        cause: &str,
        actor: &str,
        now: Timestamp,
        facts: &mut Vec<Fact>,
    ) -> Option<Act> {
        let moved = |m: &Member| {
            matches!(
                m.progress,
                MemberProgress::Releasing { .. } | MemberProgress::Released { .. } | MemberProgress::Returning { .. }
            )
        };
        let Some(i) = self.members.iter().rposition(moved) else {
            self.returned(cause, now, facts);
            return Some(Act::Wait);
        };
        let none = MemberSeen::default();
        let look = seen.get(i).unwrap_or(&none);
        let since = *self.members[i].back_since.get_or_insert(now);
        if now >= since.plus(BACK_LIMIT).plus(look.patience) {
            self.leave(i, look, now.since(since), facts);
            return None;
        }
        let member = &mut self.members[i];
        match (member.progress.clone(), &look.rollout) {
            (MemberProgress::Releasing { rollout: None }, _) => Some(Act::LookUp(i)),
            (MemberProgress::Releasing { .. }, Some(Standing::Open | Standing::Held(_))) => Some(Act::TakeBack(i)),
            (MemberProgress::Releasing { .. }, Some(Standing::Queued)) => Some(Act::Withdraw(i)),
            (MemberProgress::Releasing { rollout: Some(rollout) }, Some(Standing::Ended(outcome, _))) => {
                member.progress = match outcome {
                    Outcome::Succeeded => MemberProgress::Released { rollout },
                    _ => MemberProgress::Returned { rollout: None },
                };
                None
            }
            (MemberProgress::Released { .. }, _) if look.stable.as_ref() != Some(&member.version) => {
                member.progress = MemberProgress::Returned { rollout: None };
                None
            }
            (MemberProgress::Released { .. }, _) => {
                let (service, from) = (member.service.clone(), member.from.clone());
                let Some(from) = from else {
                    let cause = format!("{service} has nothing to go back to: it was its first release");
                    member.progress = MemberProgress::Stuck { cause };
                    return None;
                };
                member.progress = MemberProgress::Returning { rollout: None };
                facts.push(self.fact("group.taking_back", actor, format!("{service} goes back to {from}")));
                Some(Act::TakeBack(i))
            }
            (MemberProgress::Returning { rollout: None }, _) => Some(Act::TakeBack(i)),
            // Whoever comes before it must not wait for a person.
            (MemberProgress::Returning { .. }, Some(Standing::Held(why))) => {
                member.progress = MemberProgress::Stuck { cause: format!("needs a person: {why}") };
                None
            }
            (MemberProgress::Returning { rollout }, Some(Standing::Ended(outcome, why))) => {
                member.progress = match outcome {
                    Outcome::Succeeded => MemberProgress::Returned { rollout },
                    other => MemberProgress::Stuck { cause: format!("{}: {why}", other.as_str().replace('_', " ")) },
                };
                None
            }
            _ => Some(Act::Wait),
        }
    }

    /// Leaves member `i` to a person, so that those before it go back. What was asked for goes on.
    fn leave(&mut self, i: usize, look: &MemberSeen, took: Millis, facts: &mut Vec<Fact>) {
        let member = &mut self.members[i];
        let rollout = member.progress.rollout().map(|id| format!("{id} "));
        let how = match &look.rollout {
            Some(Standing::Held(why)) => format!("{}needs a person: {why}", rollout.unwrap_or_default()),
            Some(Standing::Queued) => format!("{}still waits its turn", rollout.unwrap_or_default()),
            Some(Standing::Open) => format!("{}goes on", rollout.unwrap_or_default()),
            Some(Standing::Ended(..)) | None => "nothing could be asked for".to_string(),
        };
        let cause = format!("is not back after {took}: {how}");
        let sentence = format!("{} {cause}; those before it go back without it", member.service);
        member.progress = MemberProgress::Stuck { cause };
        facts.push(self.fact("group.stuck", ENGINE, sentence));
    }

    fn returned(&mut self, cause: &str, now: Timestamp, facts: &mut Vec<Fact>) {
        let stuck: Vec<String> = self
            .members
            .iter()
            .filter_map(|member| match &member.progress {
                MemberProgress::Stuck { cause } => Some(format!("{}: {cause}", member.service)),
                _ => None,
            })
            .collect();
        match stuck.is_empty() {
            true => self.end(Outcome::RolledBack, cause.to_string(), now, facts),
            false => {
                let cause = format!("{cause}; not everything went back: {}", stuck.join("; "));
                self.end(Outcome::Held, cause, now, facts);
            }
        }
    }

    fn end(&mut self, outcome: Outcome, cause: String, now: Timestamp, facts: &mut Vec<Fact>) {
        facts.push(self.fact("group.ended", ENGINE, format!("{}: {cause}", outcome.as_str().replace('_', " "))));
        self.ended_at = Some(now);
        self.state = GroupState::Ended { outcome, cause };
    }

    /// Something about the group release, for the journal.
    pub fn fact(&self, kind: &str, actor: &str, cause: String) -> Fact {
        let members: Vec<_> = self
            .members
            .iter()
            .map(|m| json!({ "service": m.service, "version": m.version, "from": m.from, "progress": m.progress }))
            .collect();
        Fact {
            kind: kind.to_string(),
            lane: None,
            rollout: None,
            actor: actor.to_string(),
            cause: format!("{} ({}): {cause}", self.id, self.group),
            evidence: json!({ "group": self.group, "environment": self.environment, "id": self.id, "members": members }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::RolloutId;

    fn run(services: &[&str]) -> GroupRun {
        let member = |name: &&str| Member {
            service: name.parse().expect("a name"),
            version: "2".parse().expect("a version"),
            from: Some("1".parse().expect("a version")),
            after: Vec::new(),
            strategy: "canary".to_string(),
            progress: MemberProgress::Pending,
            back_since: None,
        };
        GroupRun {
            id: "gr-1".to_string(),
            group: "shop".parse().expect("a name"),
            environment: "production".parse().expect("a name"),
            actor: "user:ann".to_string(),
            asked_at: Timestamp(0),
            ended_at: None,
            members: services.iter().map(member).collect(),
            state: GroupState::Going,
        }
    }

    fn seen(rollout: Option<Standing>, stable: &str) -> MemberSeen {
        MemberSeen { rollout, stable: Some(stable.parse().expect("a version")), patience: Millis(0) }
    }

    fn ended(outcome: Outcome) -> Option<Standing> {
        Some(Standing::Ended(outcome, "as it was".to_string()))
    }

    fn releasing(run: &mut GroupRun, i: usize, n: u64) {
        run.members[i].progress = MemberProgress::Releasing { rollout: Some(RolloutId::numbered(n)) };
    }

    #[test]
    fn members_follow_each_other_and_a_failure_takes_them_back_in_reverse_order() {
        let mut run = run(&["db", "api", "web"]);
        let nothing = [seen(None, "1"), seen(None, "1"), seen(None, "1")];
        assert_eq!(run.advance(&nothing, Timestamp(1)).0, Act::Release(0));
        assert_eq!(run.advance(&nothing, Timestamp(1)).0, Act::Release(0), "asked for again under the same key");
        releasing(&mut run, 0, 1);
        let mut now = nothing.clone();
        now[0] = seen(Some(Standing::Open), "1");
        assert_eq!(run.advance(&now, Timestamp(2)).0, Act::Wait);
        now[0] = seen(ended(Outcome::Succeeded), "2");
        assert_eq!(run.advance(&now, Timestamp(3)).0, Act::Release(1));
        releasing(&mut run, 1, 2);
        now[1] = seen(ended(Outcome::Succeeded), "2");
        assert_eq!(run.advance(&now, Timestamp(4)).0, Act::Release(2));
        releasing(&mut run, 2, 3);
        now[2] = seen(ended(Outcome::RolledBack), "1");
        let (act, facts) = run.advance(&now, Timestamp(5));
        assert_eq!(act, Act::TakeBack(1), "the newest first");
        assert_eq!(facts.iter().map(|f| f.kind.as_str()).collect::<Vec<_>>(), ["group.returning", "group.taking_back"]);
        run.members[1].progress = MemberProgress::Returning { rollout: Some(RolloutId::numbered(4)) };
        now[1] = seen(ended(Outcome::Succeeded), "1");
        assert_eq!(run.advance(&now, Timestamp(6)).0, Act::TakeBack(0));
        // Somebody else was faster.
        run.members[0].progress = MemberProgress::Released { rollout: RolloutId::numbered(1) };
        now[0] = seen(ended(Outcome::Succeeded), "1");
        run.advance(&now, Timestamp(7));
        assert!(matches!(run.state, GroupState::Ended { outcome: Outcome::RolledBack, .. }), "{:?}", run.state);
    }

    #[test]
    fn what_cannot_go_back_is_left_to_a_person_and_keeps_nobody_else() {
        let mut run = run(&["db", "api"]);
        run.members[0].progress = MemberProgress::Released { rollout: RolloutId::numbered(1) };
        run.members[1].progress = MemberProgress::Released { rollout: RolloutId::numbered(2) };
        run.members[1].from = None;
        let mut facts = Vec::new();
        run.turn_back("asked for", "user:ann", &mut facts);
        let now = [seen(None, "2"), seen(None, "2")];
        assert_eq!(run.advance(&now, Timestamp(1)).0, Act::TakeBack(0));
        run.members[0].progress = MemberProgress::Returning { rollout: Some(RolloutId::numbered(3)) };
        let now = [seen(ended(Outcome::Succeeded), "1"), seen(None, "2")];
        run.advance(&now, Timestamp(2));
        let GroupState::Ended { outcome, cause } = &run.state else { panic!("{:?}", run.state) };
        assert_eq!(*outcome, Outcome::Held);
        assert!(cause.contains("api has nothing to go back to"), "{cause}");
    }

    #[test]
    fn what_has_not_begun_is_withdrawn_and_what_is_open_is_taken_back() {
        let mut run = run(&["db"]);
        releasing(&mut run, 0, 1);
        run.turn_back("asked for", "user:ann", &mut Vec::new());
        assert_eq!(run.advance(&[seen(Some(Standing::Queued), "1")], Timestamp(1)).0, Act::Withdraw(0));
        assert_eq!(run.advance(&[seen(Some(Standing::Open), "1")], Timestamp(1)).0, Act::TakeBack(0));
        run.advance(&[seen(ended(Outcome::RolledBack), "1")], Timestamp(1));
        assert!(matches!(run.state, GroupState::Ended { outcome: Outcome::RolledBack, .. }), "{:?}", run.state);
    }

    /// A story: the newest of three hangs on its way back, and the others are home long before anybody looks.
    #[test]
    fn one_whose_way_back_never_ends_is_left_to_a_person_and_the_others_go_back() {
        let mut run = run(&["db", "api", "web"]);
        for (i, member) in run.members.iter_mut().enumerate() {
            member.progress = MemberProgress::Released { rollout: RolloutId::numbered(i as u64 + 1) };
        }
        run.turn_back("asked for", "user:ann", &mut Vec::new());
        let mut now = [seen(None, "2"), seen(None, "2"), seen(None, "2")];
        let begun = Timestamp(1_000);
        assert_eq!(run.advance(&now, begun).0, Act::TakeBack(2));
        run.members[2].progress = MemberProgress::Returning { rollout: Some(RolloutId::numbered(4)) };
        now[2].rollout = Some(Standing::Open);
        let early = Timestamp(begun.0 + BACK_LIMIT.0 - 1);
        assert_eq!(run.advance(&now, early), (Act::Wait, Vec::new()), "it has its time");

        // A worker that finishes what it has gets that time as well.
        now[2].patience = Millis::from_secs(60);
        let late = begun.plus(BACK_LIMIT);
        assert_eq!(run.advance(&now, late).0, Act::Wait);
        now[2].patience = Millis(0);
        let (act, facts) = run.advance(&now, late);
        assert_eq!(act, Act::TakeBack(1), "the next one goes back");
        assert_eq!(facts.iter().map(|f| f.kind.as_str()).collect::<Vec<_>>(), ["group.stuck", "group.taking_back"]);
        assert!(facts[0].cause.contains("web is not back after 10m: ro-4 goes on"), "{}", facts[0].cause);

        // The limit of each begins with its own way back, and what cannot even be asked for has it too.
        assert_eq!(run.advance(&now, late.plus(Millis(1))).0, Act::TakeBack(1), "under the same key");
        assert_eq!(run.advance(&now, late.plus(BACK_LIMIT)).0, Act::TakeBack(0));
        run.members[0].progress = MemberProgress::Returning { rollout: Some(RolloutId::numbered(5)) };
        now[0] = seen(ended(Outcome::Succeeded), "1");
        let (act, facts) = run.advance(&now, late.plus(BACK_LIMIT).plus(Millis(5)));
        assert_eq!((act, facts.last().map(|f| f.kind.as_str())), (Act::Wait, Some("group.ended")));
        let GroupState::Ended { outcome, cause } = &run.state else { panic!("{:?}", run.state) };
        assert_eq!((*outcome, run.members[0].progress.as_str()), (Outcome::Held, "returned"));
        for said in ["web: is not back after 10m", "api: is not back after 10m: nothing could be asked for"] {
            assert!(cause.contains(said), "{said}: {cause}");
        }
    }

    #[test]
    fn a_release_that_is_turned_round_and_never_ends_has_the_same_limit() {
        for standing in [Standing::Open, Standing::Held("the way back is not confirmed".into()), Standing::Queued] {
            let mut run = run(&["db", "api"]);
            run.members[0].progress = MemberProgress::Released { rollout: RolloutId::numbered(1) };
            releasing(&mut run, 1, 2);
            run.turn_back("asked for", "user:ann", &mut Vec::new());
            let now = [seen(None, "2"), seen(Some(standing.clone()), "1")];
            let act = run.advance(&now, Timestamp(0)).0;
            assert!(matches!(act, Act::TakeBack(1) | Act::Withdraw(1)), "{act:?}");
            assert_eq!(run.advance(&now, Timestamp(BACK_LIMIT.0)).0, Act::TakeBack(0), "{standing:?}");
            assert_eq!(run.members[1].progress.as_str(), "stuck");
        }
    }
}
