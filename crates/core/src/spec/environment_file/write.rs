//! The file as text, so that [`super::parse`] reads from it what was written. Values are written as JSON, which is YAML.

use serde_json::{Value, json};

use super::super::cohort::Cohort;
use super::super::hooks::{Before, Hook, OnSilence, Receiver, Secret};
use super::super::policy::{After, DrillPolicy, Gates};
use super::{EnvironmentFile, ServiceEntry};
use crate::traffic::CohortRule;
use crate::units::Millis;

impl EnvironmentFile {
    /// The file as people write it.
    pub fn to_yaml(&self) -> String {
        let mut lines = vec![format!("environment: {}", plain(self.environment.as_str()))];
        lines.extend(self.cluster.as_ref().map(|cluster| format!("cluster: {}", plain(cluster))));
        lines.extend(self.heal.then(|| "heal: true".to_string()));
        lines.extend(self.require_drill.map(|age| format!("require_drill: {}", duration(age))));
        lines.extend(self.drill.as_ref().map(|policy| format!("drill: {}", drill(policy))));
        if !self.cohorts.is_empty() {
            lines.push(format!("cohorts: {}", cohorts(&self.cohorts)));
        }
        let gates = gates(&self.gates);
        if !gates.is_empty() {
            lines.push("gates:".to_string());
            lines.extend(gates.iter().map(|(key, value)| format!("  {key}: {value}")));
        }
        if !self.hooks.is_empty() {
            lines.push("hooks:".to_string());
            lines.extend(self.hooks.iter().map(|declared| format!("  - {}", hook(declared))));
        }
        lines.push(if self.services.is_empty() { "services: {}" } else { "services:" }.to_string());
        for (name, service) in &self.services {
            lines.push(format!("  {}:", plain(name.as_str())));
            lines.extend(service.lines().iter().map(|(key, value)| format!("    {key}: {value}")));
        }
        lines.join("\n") + "\n"
    }
}

/// A name without quotes, unless it would be read as nothing.
fn plain(name: &str) -> String {
    match name {
        "null" => "\"null\"".to_string(),
        name => name.to_string(),
    }
}

impl ServiceEntry {
    fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![("version", plain(self.version.as_str()))];
        lines.extend(self.instances.map(|n| ("instances", n.to_string())));
        if !self.after.is_empty() {
            lines.push(("after", afters(&self.after)));
        }
        lines.extend(self.artifact.as_ref().map(|digest| ("artifact", digest.to_string())));
        lines.extend(self.config.as_ref().map(|digest| ("config", digest.to_string())));
        lines
    }
}

/// Each gate that asks for something, as it is written.
pub(crate) fn gates(gates: &Gates) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(a) = &gates.approvals {
        let from = json!(a.from);
        lines.push(("approvals", format!("{{ count: {}, from: {from}, expire: {} }}", a.count, duration(a.expire))));
    }
    if !gates.freeze.is_empty() {
        let freezes = gates.freeze.iter().map(|freeze| {
            let mut one = json!({ "window": freeze.window.to_string() });
            if let Some(reason) = &freeze.reason {
                one["reason"] = json!(reason);
            }
            one
        });
        lines.push(("freeze", freezes.collect::<Value>().to_string()));
    }
    if !gates.after.is_empty() {
        lines.push(("after", afters(&gates.after)));
    }
    if !gates.readiness.is_empty() {
        let names: Vec<&str> = gates.readiness.iter().map(|what| what.name()).collect();
        lines.push(("readiness", json!(names).to_string()));
    }
    lines
}

/// When drills come by themselves, as it is written.
pub(crate) fn drill(policy: &DrillPolicy) -> Value {
    let mut one = json!({ "every": duration(policy.every) });
    if let Some(window) = &policy.window {
        one["window"] = json!(window.to_string());
    }
    if policy.cold {
        one["cold"] = json!(true);
    }
    one
}

/// Cohorts, as they are written.
pub(crate) fn cohorts(cohorts: &[Cohort]) -> Value {
    let one = |cohort: &Cohort| match &cohort.rule {
        CohortRule::Header { name, value } => json!({ "name": cohort.name, "header": format!("{name}: {value}") }),
        CohortRule::Cookie { name, value } => json!({ "name": cohort.name, "cookie": format!("{name}={value}") }),
    };
    cohorts.iter().map(one).collect()
}

/// A hook, as it is written.
pub(crate) fn hook(hook: &Hook) -> Value {
    let mut one = json!({ "name": hook.name, "timeout": duration(hook.timeout) });
    if !hook.on.is_empty() {
        one["on"] = hook.on.iter().map(|pattern| pattern.as_str()).collect();
    }
    if let Some(before) = hook.before {
        one["before"] = json!(match before {
            Before::Step => "step",
            Before::Promotion => "promotion",
        });
        one["on_silence"] = json!(match hook.on_silence {
            OnSilence::Hold => "hold",
            OnSilence::Go => "go",
            OnSilence::Stop => "stop",
        });
    }
    match &hook.to {
        Receiver::Webhook { url, secret, ca_file } => {
            let (key, value) = match secret {
                Secret::Env(name) => ("secret_env", name),
                Secret::File(path) => ("secret_file", path),
            };
            one["webhook"] = json!({ "url": url, key: value });
            if let Some(path) = ca_file {
                one["webhook"]["ca_file"] = json!(path);
            }
        }
        Receiver::Command(words) => one["command"] = json!(words),
    }
    one
}

/// What other services must serve first, as it is written.
pub(crate) fn afters(after: &[After]) -> String {
    after.iter().map(|after| Value::from(after.to_string())).collect::<Value>().to_string()
}

/// A length of time, exactly.
pub(crate) fn duration(length: Millis) -> String {
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    match units.iter().find(|(_, ms)| length.0 > 0 && length.0.is_multiple_of(*ms)) {
        Some((unit, ms)) => format!("{}{unit}", length.0 / ms),
        None => format!("{}ms", length.0),
    }
}
