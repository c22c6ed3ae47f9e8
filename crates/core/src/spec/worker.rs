//! Workers in the declared file: services that take jobs instead of requests, how they are asked to stop, and which
//! strategies fit them.
//!
//! Called by the readers of the declared file, by admission (a strategy may be named on the command line) and by the
//! planner. Knows nothing of instances that run.

use serde::{Deserialize, Serialize};

use super::model::{ServiceSpec, StrategyKind};

/// What makes a service a worker: it takes jobs by itself and gets no requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Worker {
    /// Never two versions at once, and never more copies than declared: the old one ends whole before the new starts.
    #[serde(default)]
    pub exclusive: bool,
}

/// The signal that asks a program to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum StopSignal {
    /// The usual one.
    #[default]
    #[serde(rename = "SIGTERM")]
    Term,
    /// As from a keyboard.
    #[serde(rename = "SIGINT")]
    Int,
    /// What some servers take for "finish what you have".
    #[serde(rename = "SIGQUIT")]
    Quit,
    /// A terminal that went away.
    #[serde(rename = "SIGHUP")]
    Hup,
    /// The program's own meaning.
    #[serde(rename = "SIGUSR1")]
    Usr1,
    /// The program's own meaning.
    #[serde(rename = "SIGUSR2")]
    Usr2,
}

impl StopSignal {
    /// Every signal that may be declared.
    pub const ALL: [StopSignal; 6] =
        [StopSignal::Term, StopSignal::Int, StopSignal::Quit, StopSignal::Hup, StopSignal::Usr1, StopSignal::Usr2];

    /// As it is written in the declared file.
    pub fn name(self) -> &'static str {
        match self {
            StopSignal::Term => "SIGTERM",
            StopSignal::Int => "SIGINT",
            StopSignal::Quit => "SIGQUIT",
            StopSignal::Hup => "SIGHUP",
            StopSignal::Usr1 => "SIGUSR1",
            StopSignal::Usr2 => "SIGUSR2",
        }
    }
}

/// Why a strategy does not fit a service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why} ({instead})")]
pub struct Unfit {
    /// Why.
    pub why: &'static str,
    /// What to do instead.
    pub instead: &'static str,
}

/// Whether releases of a service may go in by `kind`: `worker` where it is one, `judged` where it declares objectives.
pub fn fits(worker: Option<Worker>, judged: bool, kind: &StrategyKind) -> Result<(), Unfit> {
    let unfit = |why, instead| Err(Unfit { why, instead });
    match (worker, kind) {
        (None, StrategyKind::Replace) => {
            unfit("replace stops a version before the next one starts, and requests would find nobody", "use rolling")
        }
        (None, _) | (Some(_), StrategyKind::Replace) => Ok(()),
        (Some(Worker { exclusive: true }), _) => {
            unfit("an exclusive worker never runs two versions at once, and this strategy does", "use replace")
        }
        (Some(_), StrategyKind::BlueGreen) => unfit(
            "blue-green switches requests, and a worker has none: both sets would take jobs at once",
            "use rolling, canary or replace",
        ),
        (Some(_), StrategyKind::Canary { .. }) if !judged => unfit(
            "a canary of a worker is judged by reported outcomes, and no objective is declared",
            "declare one, or use rolling",
        ),
        (Some(_), StrategyKind::Canary { .. } | StrategyKind::Rolling { .. }) => Ok(()),
    }
}

impl ServiceSpec {
    /// Whether it takes jobs instead of requests.
    pub fn is_worker(&self) -> bool {
        self.worker.is_some()
    }

    /// Whether no two versions of it may ever run at once.
    pub fn is_exclusive(&self) -> bool {
        self.worker.is_some_and(|worker| worker.exclusive)
    }

    /// Whether releases may go in by `kind`.
    pub fn fits(&self, kind: &StrategyKind) -> Result<(), Unfit> {
        fits(self.worker, !self.objectives.is_empty(), kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Strategy;

    #[test]
    fn each_kind_of_service_has_its_strategies() {
        let kinds = |worker, judged| {
            let fit = |name: &&str| fits(worker, judged, &Strategy::default_for(name).unwrap().kind).is_ok();
            StrategyKind::NAMES.into_iter().filter(|name| fit(name)).collect::<Vec<_>>()
        };
        assert_eq!(kinds(None, true), ["canary", "blue-green", "rolling"]);
        assert_eq!(kinds(Some(Worker { exclusive: false }), true), ["canary", "rolling", "replace"]);
        assert_eq!(kinds(Some(Worker { exclusive: false }), false), ["rolling", "replace"]);
        assert_eq!(kinds(Some(Worker { exclusive: true }), true), ["replace"]);
    }
}
