//! Environments that have a file, as text.

use slipway_core::units::Timestamp;
use slipway_server::wire::{WireEnvironment, WireEnvironmentDiff, WireServiceInFile};

use super::flat;

/// One service that a file names.
pub(crate) fn in_file(service: &WireServiceInFile) -> String {
    let mark = match service.standing.as_str() {
        "as_declared" => "✓",
        "coming" | "waiting" => "●",
        _ => "✗",
    };
    let (name, version) = (&service.service, &service.version);
    let standing = service.standing.replace('_', " ");
    match &service.sentence {
        Some(sentence) => format!("  {mark} {name} {version}: {standing}: {}", flat(sentence)),
        None => format!("  {mark} {name} {version}: {standing}"),
    }
}

/// How an environment stands, in one line.
pub(crate) fn environment(now: &WireEnvironment) -> String {
    let name = &now.environment;
    let differing = now.services.iter().filter(|service| service.standing != "as_declared").count();
    match (now.coming, differing) {
        (true, n) => format!("{name}: on its way to what its file says, {n} to come; slipway status"),
        (false, 0) => format!("{name} is as its file says"),
        (false, 1) => format!("{name} is not as its file says: 1 service differs; slipway env diff {name}"),
        (false, n) => format!("{name} is not as its file says: {n} services differ; slipway env diff {name}"),
    }
}

/// The environments below the services of `slipway status`: one line each, and one for each service that differs.
pub(crate) fn environments(all: &[WireEnvironment]) -> String {
    let mut text = String::new();
    for now in all {
        let heal = if now.heal { ", kept so by itself" } else { "" };
        let (by, at) = (&now.applied_by, Timestamp(now.applied_at));
        text.push_str(&format!("\n{} (applied by {by} at {at}{heal})\n", environment(now)));
        for service in now.services.iter().filter(|service| service.standing != "as_declared") {
            text.push_str(&format!("{}\n", in_file(service)));
        }
    }
    text
}

/// What differs from a file.
pub(crate) fn environment_diff(diff: &WireEnvironmentDiff) -> String {
    if diff.differences.is_empty() {
        return format!("{} is as the file says\n", diff.environment);
    }
    let mut text = format!("{}: what is (-) and what the file says (+)\n", diff.environment);
    for differing in &diff.differences {
        text.push_str(&format!("  {}\n", differing.place));
        for (sign, value) in [("-", &differing.found), ("+", &differing.declared)] {
            text.push_str(&format!("    {sign} {}\n", value.as_deref().map_or_else(|| "none".to_string(), flat)));
        }
    }
    text
}
