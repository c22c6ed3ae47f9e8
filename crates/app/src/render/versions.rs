//! Two versions side by side, as text.

use serde_json::Value;
use slipway_server::wire::WireVersions;

use super::flat;

/// What differs, a line for what is gone and a line for what came.
pub(crate) fn versions(v: &WireVersions) -> String {
    let mut text = format!("{}: {} to {}\n", v.service, v.from, v.to);
    for (what, same, before, after) in [
        ("artifact", v.same_artifact, &v.artifact_before, &v.artifact_after),
        ("configuration", v.same_config, &v.config_before, &v.config_after),
    ] {
        match same {
            true => text.push_str(&format!("  {what}: the same, {before}\n")),
            false => text.push_str(&format!("  {what}:\n  - {before}\n  + {after}\n")),
        }
    }
    if v.differences.is_empty() {
        text.push_str("  the declared files mean the same\n");
    }
    for difference in &v.differences {
        text.push_str(&format!("  {}:\n", flat(&difference.place)));
        for (sign, value) in [('-', &difference.before), ('+', &difference.after)] {
            if let Some(value) = value {
                text.push_str(&format!("  {sign} {}\n", flat(&plain(value))));
            }
        }
    }
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
