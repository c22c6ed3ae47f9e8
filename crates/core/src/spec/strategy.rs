//! Strategies by name: what each is where nothing is declared, and how one stands in for another.
//!
//! Called by the readers of the declared file, and for `--strategy` on the command line.

use super::mistake::{nearest, quoted};
use super::model::{Amount, OnInconclusive, Strategy, StrategyKind};
use super::worker::Worker;
use crate::units::{Millis, Weight};

/// A strategy was asked for by a name that none has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no strategy {name} ({hint})")]
pub struct UnknownStrategy {
    /// The name as it was given, in quotes and shortened.
    pub name: String,
    /// The nearest one, or all of them.
    pub hint: String,
}

impl Strategy {
    /// The strategy called `name` with every setting at its default.
    pub fn default_for(name: &str) -> Result<Strategy, UnknownStrategy> {
        Ok(Strategy { kind: StrategyKind::default_for(name)?, ..Strategy::default() })
    }

    /// This strategy as the one called `name`: what all strategies share is kept, what only the other has is at its
    /// default. The same name changes nothing.
    pub fn with_kind(&self, name: &str) -> Result<Strategy, UnknownStrategy> {
        let kind = if name == self.kind.name() { self.kind.clone() } else { StrategyKind::default_for(name)? };
        Ok(Strategy { kind, ..self.clone() })
    }
}

impl Default for Strategy {
    /// Canary: the only one that exposes few users first and holds where evidence is missing.
    fn default() -> Self {
        Strategy {
            kind: canary(),
            verify: Millis::from_secs(60),
            standby: Millis::from_secs(3600),
            on_inconclusive: OnInconclusive::Hold,
            alpha: 0.01,
            beta: 0.05,
            min_requests: 50,
        }
    }
}

impl StrategyKind {
    fn default_for(name: &str) -> Result<StrategyKind, UnknownStrategy> {
        match name {
            "canary" => Ok(canary()),
            "blue-green" => Ok(StrategyKind::BlueGreen),
            "rolling" => Ok(rolling()),
            "replace" => Ok(StrategyKind::Replace),
            _ => {
                let hint = match nearest(name, StrategyKind::NAMES) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("there are {}", StrategyKind::NAMES.join(", ")),
                };
                Err(UnknownStrategy { name: quoted(name), hint })
            }
        }
    }
}

impl Strategy {
    /// What holds for a worker that declares none: batches, since instances are all it has; one after the other where
    /// no two versions may run at once. Nothing stands by: it would take jobs.
    pub fn default_for_worker(worker: Worker) -> Strategy {
        let kind = match worker.exclusive {
            true => StrategyKind::Replace,
            false => rolling(),
        };
        Strategy { kind, standby: Millis(0), ..Strategy::default() }
    }
}

fn rolling() -> StrategyKind {
    StrategyKind::Rolling { batch: Amount::Count(1), min_ready: Amount::Percent(Weight::ALL) }
}

fn canary() -> StrategyKind {
    let steps = [100, 500, 2_500, 5_000, 10_000].into_iter().filter_map(Weight::from_bp).collect();
    StrategyKind::Canary { steps, step_limit: Millis::from_secs(600) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_kind_keeps_what_all_share() {
        let declared = Strategy {
            kind: StrategyKind::BlueGreen,
            verify: Millis::from_secs(7),
            standby: Millis::from_secs(8),
            on_inconclusive: OnInconclusive::Rollback,
            alpha: 0.02,
            beta: 0.1,
            min_requests: 9,
        };
        for name in StrategyKind::NAMES {
            let other = declared.with_kind(name).unwrap();
            assert_eq!(other.kind.name(), name);
            assert_eq!(other.kind, Strategy::default_for(name).unwrap().kind);
            assert_eq!(Strategy { kind: StrategyKind::BlueGreen, ..other }, declared);
        }
        let own = Strategy {
            kind: StrategyKind::Rolling { batch: Amount::Count(3), min_ready: Amount::Count(2) },
            ..declared
        };
        assert_eq!(own.with_kind("rolling").unwrap(), own);
    }

    #[test]
    fn an_unknown_name_is_told_what_is_near() {
        let said = |name: &str| Strategy::default().with_kind(name).unwrap_err().to_string();
        assert_eq!(said("canry"), "there is no strategy \"canry\" (did you mean canary?)");
        assert_eq!(said("blue_green"), "there is no strategy \"blue_green\" (did you mean blue-green?)");
        assert_eq!(said("bang"), "there is no strategy \"bang\" (there are canary, blue-green, rolling, replace)");
    }
}
