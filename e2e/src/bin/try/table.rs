//! The table at the end of the story.

use std::fmt::Write;

use crate::story::Release;

const COLUMNS: usize = 7;
const HEADINGS: [&str; COLUMNS] =
    ["version", "outcome", "to deploy", "to roll back", "users exposed", "failed: service", "failed: Slipway"];

/// One row per release, then why each ended as it did.
pub fn render(releases: &[Release]) -> String {
    let rows: Vec<[String; COLUMNS]> = releases.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADINGS[column].len()]).max().unwrap_or(0)
    };
    let line = |cells: &dyn Fn(usize) -> String| {
        let padded = std::array::from_fn::<_, COLUMNS, _>(|column| format!("{:<1$}", cells(column), width(column)));
        format!("{}\n", padded.join("   ").trim_end())
    };
    let mut text = line(&|column| HEADINGS[column].to_string());
    text += &line(&|column| "-".repeat(width(column)));
    for row in &rows {
        text += &line(&|column| row[column].clone());
    }
    text.push('\n');
    for release in releases {
        let _ = writeln!(text, "{}: {}", release.version, release.why);
    }
    text
}

fn row(release: &Release) -> [String; COLUMNS] {
    let result = &release.result;
    let time = |ms: Option<u64>| ms.map_or("-".into(), milliseconds);
    [
        release.version.into(),
        result.outcome.replace('_', " "),
        time(result.deploy_ms),
        time(result.rollback_ms),
        release.users.to_string(),
        release.failed_by_service.to_string(),
        release.failed_by_slipway.to_string(),
    ]
}

fn milliseconds(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{:.1} s", ms as f64 / 1000.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::story::Outcome;

    #[test]
    fn columns_line_up_and_reasons_follow() {
        let release = |version, outcome: &str, deploy_ms, rollback_ms| Release {
            version,
            wanted: "",
            result: Outcome { rollout: "ro-1".into(), outcome: outcome.into(), cause: None, deploy_ms, rollback_ms },
            why: format!("why {version}"),
            users: 7,
            failed_by_service: 12,
            failed_by_slipway: 0,
        };
        let text =
            render(&[release("1.1.0", "succeeded", Some(2345), None), release("1.2.0", "rolled_back", None, Some(41))]);
        assert_eq!(
            text,
            "version   outcome       to deploy   to roll back   users exposed   failed: service   failed: Slipway\n\
             -------   -----------   ---------   ------------   -------------   ---------------   ---------------\n\
             1.1.0     succeeded     2.3 s       -              7               12                0\n\
             1.2.0     rolled back   -           41 ms          7               12                0\n\n\
             1.1.0: why 1.1.0\n1.2.0: why 1.2.0\n"
        );
    }
}
