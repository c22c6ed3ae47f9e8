//! Hooks, for the wire. A secret is nowhere in it, only where it is read from.

use serde::{Deserialize, Serialize};
use slipway_control::views::HookNow;
use slipway_core::spec::{Before, OnSilence, Receiver};
use utoipa::ToSchema;

/// A hook, and how far it was told.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WireHook {
    /// Its name.
    pub name: String,
    /// Of which entries of the journal it is told.
    pub on: Vec<String>,
    /// Before what it is asked: `step` or `promotion`.
    pub before: Option<String>,
    /// What its silence means: `hold`, `go` or `stop`; null where it is asked nothing.
    pub on_silence: Option<String>,
    /// An address, or a command line.
    pub to: String,
    /// The last entry of the journal that it was told of, or did not want.
    pub told: u64,
    /// It is declared no more, and is told of what is left.
    pub withdrawn: bool,
    /// Failed attempts at what it is told next.
    pub attempts: u64,
    /// Since when it cannot be told, in milliseconds since 1970.
    pub failing_since: Option<u64>,
    /// Why, the last time.
    pub why: Option<String>,
    /// When it took the last event in, in milliseconds since 1970.
    pub last_at: Option<u64>,
}

impl From<HookNow> for WireHook {
    fn from(now: HookNow) -> WireHook {
        let hook = now.hook;
        let silence = match hook.on_silence {
            OnSilence::Hold => "hold",
            OnSilence::Go => "go",
            OnSilence::Stop => "stop",
        };
        let before = hook.before.map(|before| match before {
            Before::Step => "step",
            Before::Promotion => "promotion",
        });
        WireHook {
            name: hook.name,
            on: hook.on.iter().map(|on| on.as_str().to_string()).collect(),
            before: before.map(str::to_string),
            on_silence: before.map(|_| silence.to_string()),
            to: match hook.to {
                Receiver::Webhook { url, .. } => url,
                Receiver::Command(words) => words.join(" "),
            },
            told: now.told,
            withdrawn: now.withdrawn,
            attempts: now.attempts,
            failing_since: now.failing_since.map(|at| at.0),
            why: now.why,
            last_at: now.last_at.map(|at| at.0),
        }
    }
}
