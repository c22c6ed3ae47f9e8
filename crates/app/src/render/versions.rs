//! Two versions side by side, as text.

use serde_json::Value;
use slipway_server::wire::WireVersions;

use super::flat;

/// What differs, a line for what is gone and a line for what came; of files the lines that differ.
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
        if let Some(lines) = difference.lines() {
            text.extend(lines.iter().map(|line| format!("  {}\n", visible(line))));
            continue;
        }
        for (sign, value) in [('-', &difference.before), ('+', &difference.after)] {
            if let Some(value) = value {
                text.push_str(&format!("  {sign} {}\n", flat(&plain(value))));
            }
        }
    }
    text
}

/// A line with its spaces, and with what would move a terminal's cursor written out.
fn visible(line: &str) -> String {
    line.chars().fold(String::with_capacity(line.len()), |mut shown, c| {
        match c {
            '\t' => shown.push(c),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
        shown
    })
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use slipway_server::wire::WireDifference;

    use super::*;

    fn differing(place: &str, before: Value, after: Value) -> String {
        let digest = |n: u8| format!("sha256:{n}");
        let some = |value: Value| Some(value).filter(|value| !value.is_null());
        versions(&WireVersions {
            service: "shop".into(),
            from: "1".into(),
            to: "2".into(),
            same_artifact: true,
            artifact_before: digest(1),
            artifact_after: digest(1),
            same_config: false,
            config_before: digest(2),
            config_after: digest(3),
            differences: vec![WireDifference { place: place.into(), before: some(before), after: some(after) }],
        })
    }

    #[test]
    fn a_file_shows_the_lines_that_differ_and_where() {
        let numbers = |changed: &str| -> String {
            (1..=20).map(|n| if n == 10 { changed.into() } else { format!("line {n}\n") }).collect()
        };
        let (before, after) = (numbers("  old\n"), numbers("  new\u{1b}[31m\r\n"));
        let shown = differing("environments.production.config.files.conf/a", json!(before), json!(after));
        let told = shown.split_once("conf/a:\n").expect("the place").1;
        assert_eq!(
            told,
            "  @@ -7,7 +7,7 @@\n   line 7\n   line 8\n   line 9\n  -  old\n  +  new\\u{1b}[31m\\r\n   line 11\n   line 12\n   line 13\n"
        );
    }

    #[test]
    fn a_file_that_came_or_went_is_told_whole_and_an_ending_counts() {
        let place = "config.files.a";
        assert!(differing(place, json!(null), json!("x\ny\n")).ends_with("  @@ -0,0 +1,2 @@\n  +x\n  +y\n"));
        assert!(differing(place, json!("x\n"), json!(null)).ends_with("  @@ -1 +0,0 @@\n  -x\n"));
        let ending = differing(place, json!("x\n"), json!("x"));
        assert!(ending.contains("  -x\n") && ending.contains("  +x\n") && ending.contains("No newline"), "{ending}");
        assert!(differing(place, json!(null), json!("")).ends_with("  config.files.a:\n  + \n"));
        assert!(differing("run.env.A", json!("x"), json!("y")).ends_with("  run.env.A:\n  - x\n  + y\n"));
    }

    #[test]
    fn the_longest_files_do_not_take_for_ever() {
        let text =
            |salt: u32| (0..40_000u32).map(|n| format!("{}\n", n.wrapping_mul(salt) % 9_973)).collect::<String>();
        assert!(differing("config.files.a", json!(text(7_919)), json!(text(6_007))).contains("@@"));
    }
}
