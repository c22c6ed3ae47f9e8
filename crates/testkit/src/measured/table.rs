//! The tables, as Markdown, and the line that a script reads.

use std::fmt::Write;

use super::{ALPHA, Cell, End, Report, Row, Tool, WALD_BAR, interval};

/// Everything as tables.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let sizes = report.healthy.first().map(sizes).unwrap_or_default();
    heading(&mut text, &format!("Healthy candidates taken back ({sizes})"), &Tool::ALL.map(Tool::name));
    for row in &report.healthy {
        line(&mut text, row, |cell| match cell.tool {
            Tool::Slipway => {
                let (hits, n) = (cell.ended(End::RolledBack), cell.n());
                format!("{}, at most {}", percent(cell.share(End::RolledBack)), percent(interval(hits, n).1))
            }
            _ => percent(cell.share(End::RolledBack)),
        });
    }
    let (hits, n) = report.all_false();
    let all = (hits as f64 / n.max(1) as f64, interval(hits, n).1);
    let _ = writeln!(text, "\nSlipway in all rows: {hits} of {n}, {}, at most {}", percent(all.0), percent(all.1));
    heading(&mut text, "Minutes until a healthy candidate serves everyone, in the middle", &Tool::ALL.map(Tool::name));
    for row in &report.healthy {
        line(&mut text, row, |cell| {
            let minutes = cell.seconds(End::Finished).map_or("never".to_string(), |s| format!("{:.1}", s / 60.0));
            match cell.share(End::Held) {
                0.0 => minutes,
                held => format!("{minutes}; {} asked a person", percent(held)),
            }
        });
    }
    let sizes = report.bad.first().map(self::sizes).unwrap_or_default();
    heading(&mut text, &format!("Bad candidates that got everything ({sizes})"), &Tool::ALL.map(Tool::name));
    for row in &report.bad {
        line(&mut text, row, |cell| match cell.share(End::Held) {
            0.0 => percent(cell.share(End::Finished)),
            held => format!("{}; {} asked a person", percent(cell.share(End::Finished)), percent(held)),
        });
    }
    heading(
        &mut text,
        "Requests harmed by a bad candidate, on average, until it was back or got everything",
        &Tool::ALL.map(Tool::name),
    );
    for row in &report.bad {
        let mut within = row.within_alpha.iter();
        named_line(&mut text, &harm_name(row), row, |cell| {
            let hasty = !within.next().copied().unwrap_or(true);
            format!("{:.0}{}", cell.harmed(), if hasty { " *" } else { "" })
        });
    }
    text.push_str(
        "\n\\* takes more than 1% of healthy candidates back in the same circumstances\n\n\
         \\† as bad as the objectives tolerate, and no worse: to take it back is a false rollback, so no row of the bar\n",
    );
    hunts(&mut text, report);
    text
}

fn hunts(text: &mut String, report: &Report) {
    heading(
        text,
        "Requests until a bad candidate is found",
        &["median", "mean", "Wald", "ratio", "ratio for the rate alone", "missed"],
    );
    for (hunt, found) in &report.hunts {
        let bar = if hunt.counts { format!(", bar {WALD_BAR}") } else { String::new() };
        let _ = writeln!(
            text,
            "| {}{bar} | {:.0} | {:.1} | {:.1} | {:.2} | {:.2} | {} |",
            hunt.title(),
            found.median,
            found.mean,
            found.least,
            found.ratio(),
            found.ratio_alone(),
            found.missed
        );
    }
}

/// One line for a script.
pub fn summary(report: &Report) -> String {
    let rollouts: u64 = report.healthy.iter().chain(&report.bad).flat_map(|row| &row.cells).map(Cell::n).sum();
    let (share, upper) = report.worst_false();
    let worse: Vec<&Row> = report.worse().collect();
    let won = worse.iter().filter(|row| row.beaten_by().is_empty()).count();
    let missed = report.missed();
    format!(
        "judge seed={} rollouts={rollouts} alpha={ALPHA} false_rollbacks_worst={share:.4} false_rollbacks_upper={upper:.4} \
         wald_ratio_worst={:.2} wald_bar={WALD_BAR} harm_rows_best={won} harm_rows={} harm_rows_tolerated={} bars_missed={}",
        report.seed,
        report.worst_ratio(),
        worse.len(),
        report.bad.len() - worse.len(),
        missed.len()
    )
}

fn sizes(row: &Row) -> String {
    let of = |cell: &Cell| format!("{} {}", cell.tool.name(), cell.n());
    format!("rollouts of each row: {}", row.cells.iter().map(of).collect::<Vec<_>>().join("; "))
}

fn heading(text: &mut String, title: &str, columns: &[&str]) {
    let _ = writeln!(text, "\n**{title}**\n\n| | {} |\n|---|{}", columns.join(" | "), "---|".repeat(columns.len()));
}

fn line(text: &mut String, row: &Row, show: impl FnMut(&Cell) -> String) {
    named_line(text, &row.scenario.name(), row, show);
}

fn named_line(text: &mut String, name: &str, row: &Row, show: impl FnMut(&Cell) -> String) {
    let cells: Vec<String> = row.cells.iter().map(show).collect();
    let _ = writeln!(text, "| {name} | {} |", cells.join(" | "));
}

/// What a row is called where the bar is on those that are worse than tolerated.
fn harm_name(row: &Row) -> String {
    let tolerated = if row.scenario.is_tolerable() { " †" } else { "" };
    format!("{}{tolerated}", row.scenario.name())
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0%".to_string(),
        p if p < 1.0 => format!("{p:.2}%"),
        p if p < 10.0 => format!("{p:.1}%"),
        p => format!("{p:.0}%"),
    }
}
