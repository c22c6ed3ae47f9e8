//! Hooks as the declared file says them: who is told of what happens, and who is asked before it does.
//!
//! Not part of the configuration digest: a hook may change without a new version.

use serde::{Deserialize, Serialize};

use crate::units::Millis;

/// Somebody outside who is told of events, asked before a step, or both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Its name, unique within an environment.
    pub name: String,
    /// Of which entries of the journal it is told.
    pub on: Vec<Pattern>,
    /// Before what it is asked.
    pub before: Option<Before>,
    /// What its silence means. Default hold.
    pub on_silence: OnSilence,
    /// How long it may take to take an event in, or to answer. Default 10s.
    pub timeout: Millis,
    /// Who it is.
    pub to: Receiver,
}

impl Hook {
    /// Whether it is told of entries of this kind.
    pub fn wants(&self, kind: &str) -> bool {
        self.on.iter().any(|on| on.matches(kind))
    }
}

/// Who is told or asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receiver {
    /// A request to an address.
    Webhook {
        /// Where, as `https://host:port/path`, or `http` where TLS is not needed.
        url: String,
        /// With what it is signed.
        secret: Secret,
        /// Whose certificates are trusted, as a path to PEM; where absent those whom the control plane's machine trusts.
        #[serde(default)]
        ca_file: Option<String>,
    },
    /// A program that reads the event from its standard input.
    Command(Vec<String>),
}

/// Where a secret is found. The secret itself is read when it is needed, and kept nowhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Secret {
    /// In an environment variable of the control plane.
    Env(String),
    /// In a file on the control plane's machine.
    File(String),
}

/// Before what a hook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Before {
    /// Before every step that gives the candidate a larger share.
    Step,
    /// Before the step that gives it as much as it ever gets before it is stable.
    Promotion,
}

/// What a hook's silence means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnSilence {
    /// Hold and ask a person.
    #[default]
    Hold,
    /// Go on.
    Go,
    /// Take it back.
    Stop,
}

/// Kinds of entries: one kind, `rollout.*` for all of a family, `*` for all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pattern(pub(in crate::spec) String);

impl Pattern {
    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `kind` is one of them. What is recorded of hooks themselves never is: a hook that fails would be told
    /// of its own failure for ever.
    pub fn matches(&self, kind: &str) -> bool {
        if kind.starts_with("hook.") {
            return false;
        }
        match self.0.strip_suffix('*') {
            Some(family) => kind.starts_with(family),
            None => kind == self.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_kind_a_family_or_everything_but_hooks() {
        let matches = |pattern: &str, kind: &str| Pattern(pattern.to_string()).matches(kind);
        for (pattern, kind, is) in [
            ("rollout.ended", "rollout.ended", true),
            ("rollout.ended", "rollout.ended.twice", false),
            ("rollout.*", "rollout.ended", true),
            ("rollout.*", "rollouts.ended", false),
            ("*", "instance.lost", true),
            ("*", "hook.failing", false),
            ("hook.*", "hook.failing", false),
        ] {
            assert_eq!(matches(pattern, kind), is, "{pattern} and {kind}");
        }
    }
}
