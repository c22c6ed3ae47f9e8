//! Samples, and the table that they end in.

use std::fmt::Write;
use std::fs;

use anyhow::Context;

/// One line of the table.
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The samples, in no order.
    pub samples: Vec<f64>,
    /// Their unit.
    pub unit: &'static str,
    /// The largest p99 that is asked for.
    pub limit: Option<f64>,
}

impl Row {
    /// The smallest sample that a share `q` of them does not exceed.
    fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (q * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(f64::NAN)
    }

    /// Whether something is asked for, and not shown to be there.
    fn is_missed(&self) -> bool {
        self.limit.is_some_and(|limit| self.quantile(0.99).total_cmp(&limit).is_gt())
    }
}

/// The table, and the line for scripts.
pub fn render(rows: &[Row]) -> String {
    let width = rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
    let mut text = format!("{:width$}  {:>5}  {:>9}  {:>9}  {:>9}  limit\n", "", "n", "median", "p99", "max");
    for row in rows {
        let limit = row.limit.map_or("-".to_string(), |limit| {
            let kept = if row.is_missed() { "MISSED" } else { "kept" };
            format!("{limit} {} {kept}", row.unit)
        });
        let number = |q| format!("{:.1} {}", row.quantile(q), row.unit);
        let (n, median, p99, max) = (row.samples.len(), number(0.5), number(0.99), number(1.0));
        let _ = writeln!(text, "{:width$}  {n:>5}  {median:>9}  {p99:>9}  {max:>9}  {limit}", row.what);
    }
    let bars = rows.iter().filter(|row| row.limit.is_some()).count();
    let missed = rows.iter().filter(|row| row.is_missed()).count();
    let _ = writeln!(text, "bench figures rows={} bars={bars} bars_missed={missed}", rows.len());
    text
}

/// Proportional share of a process's memory.
pub fn megabytes(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find(|line| line.starts_with("Pss:")).with_context(|| format!("no Pss in {path}"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kilobytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples_and_limits_are_held_against_the_p99() {
        let row = |limit| Row { what: "a".into(), samples: (1..=200).map(f64::from).collect(), unit: "ms", limit };
        assert_eq!((row(None).quantile(0.5), row(None).quantile(0.99), row(None).quantile(1.0)), (100.0, 198.0, 200.0));
        assert!(render(&[row(Some(198.0))]).contains("198 ms kept"));
        let missed = render(&[row(Some(197.0)), row(None), row(Some(200.0))]);
        assert!(missed.contains("197 ms MISSED") && missed.ends_with("bench figures rows=3 bars=2 bars_missed=1\n"));
    }
}
