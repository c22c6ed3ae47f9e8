//! What was measured, as a table of medians and of ratios within rounds, and one line for scripts.

use std::fmt::Write;

use crate::proxies::client::{Load, Shape};
use crate::proxies::proxy::Kind;

/// What one measurement gave.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// User and system time per request in microseconds.
    pub cpu_us: f64,
    /// What the client saw.
    pub load: Load,
    /// Memory in megabytes.
    pub memory: f64,
    /// How busy the processor of client and instances was, in percent.
    pub others: f64,
}

/// One measurement and where it belongs.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    /// Which round.
    pub round: usize,
    /// Which proxy.
    pub kind: Kind,
    /// How the client asked.
    pub shape: Shape,
    /// What it gave.
    pub seen: Measured,
}

/// A comparison that is asked for.
struct Bar {
    name: &'static str,
    limit: f64,
    of: fn(&Measured) -> f64,
    ours: Kind,
    /// The better of these is what ours is compared with.
    peers: &'static [Kind],
}

const OTHERS: &[Kind] = &[Kind::Nginx, Kind::Haproxy];
const BARS: [Bar; 4] = [
    Bar { name: "cpu", limit: 0.95, of: |m| m.cpu_us, ours: Kind::Short, peers: OTHERS },
    Bar { name: "p99", limit: 1.0, of: |m| m.load.p99, ours: Kind::Short, peers: OTHERS },
    Bar { name: "memory", limit: 1.5, of: |m| m.memory, ours: Kind::Short, peers: OTHERS },
    // Over sockets, against nginx over TCP: what somebody gains who changes both.
    Bar { name: "sockets", limit: 0.65, of: |m| m.cpu_us, ours: Kind::Sockets, peers: &[Kind::Nginx] },
];

/// The table, the comparisons, and the line for scripts.
pub fn render(rounds: &[Round]) -> String {
    let mut text = format!(
        "{:17} {:>9} {:>3}  {:>22}  {:>8}  {:>8}  {:>8}  {:>7}  {:>6}\n",
        "proxy", "conn", "n", "CPU us/req (range)", "req/s", "p50 us", "p99 us", "PSS MB", "CPU1 %"
    );
    let mut shapes: Vec<Shape> = rounds.iter().map(|r| r.shape).collect();
    shapes.sort_unstable();
    shapes.dedup();
    for &shape in &shapes {
        for kind in Kind::ALL {
            line(&mut text, kind, shape, &of(rounds, kind, shape));
        }
    }
    text.push_str("\nSlipway against the better of nginx and HAProxy (over sockets against nginx over TCP), median of the ratios of the\nrounds (range)\n");
    let mut script = format!("bench proxies rounds={}", rounds.iter().map(|r| r.round + 1).max().unwrap_or(0));
    let mut missed = 0;
    for &shape in &shapes {
        for bar in &BARS {
            let (ratios, at) = (ratios(rounds, shape, bar), name(shape));
            let (low, ratio, high) = spread(&ratios);
            let met = if ratio <= bar.limit { "met" } else { "MISSED" };
            missed += u32::from(met == "MISSED");
            let _ = writeln!(
                text,
                "{:7} at {at:>9}: {ratio:.3} ({low:.3}-{high:.3})  at most {:.2}: {met}",
                bar.name, bar.limit
            );
            let _ = write!(script, " {}_{}={ratio:.3}", bar.name, at.replace(' ', "_"));
        }
    }
    format!("{text}{script} bars={} bars_missed={missed}\n", shapes.len() * BARS.len())
}

fn name(shape: Shape) -> String {
    format!("{}{}", shape.connections, if shape.paced { " paced" } else { "" })
}

fn of(rounds: &[Round], kind: Kind, shape: Shape) -> Vec<Measured> {
    rounds.iter().filter(|r| r.kind == kind && r.shape == shape).map(|r| r.seen).collect()
}

fn line(text: &mut String, kind: Kind, shape: Shape, seen: &[Measured]) {
    let median = |of: fn(&Measured) -> f64| spread(&seen.iter().map(of).collect::<Vec<_>>()).1;
    let (low, cpu, high) = spread(&seen.iter().map(|m| m.cpu_us).collect::<Vec<_>>());
    let per_second = median(|m| m.load.requests as f64) / f64::from(crate::proxies::client::SECONDS);
    let _ = writeln!(
        text,
        "{:17} {:>9} {:>3}  {:>22}  {per_second:>8.0}  {:>8.0}  {:>8.0}  {:>7.1}  {:>6.0}",
        kind.name(),
        name(shape),
        seen.len(),
        format!("{cpu:.2} ({low:.2}-{high:.2})"),
        median(|m| m.load.p50),
        median(|m| m.load.p99),
        median(|m| m.memory),
        median(|m| m.others),
    );
}

/// Ours to the better of its peers, for each round.
fn ratios(rounds: &[Round], shape: Shape, bar: &Bar) -> Vec<f64> {
    let ours = rounds.iter().filter(|r| r.shape == shape && r.kind == bar.ours);
    let peers = |round| {
        let same = rounds.iter().filter(move |r| r.round == round && r.shape == shape);
        same.filter(|r| bar.peers.contains(&r.kind)).map(|r| (bar.of)(&r.seen)).fold(f64::INFINITY, f64::min)
    };
    ours.map(|r| (bar.of)(&r.seen) / peers(r.round)).collect()
}

/// Smallest, median and largest.
fn spread(samples: &[f64]) -> (f64, f64, f64) {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |place: usize| sorted.get(place).copied().unwrap_or(f64::NAN);
    let middle = sorted.len() / 2;
    let median =
        if sorted.len().is_multiple_of(2) && middle > 0 { (at(middle - 1) + at(middle)) / 2.0 } else { at(middle) };
    (at(0), median, at(sorted.len().saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_in_one_round_is_compared() {
        let seen =
            |cpu_us| Measured { cpu_us, load: Load { requests: 10, p50: 1.0, p99: 2.0 }, memory: 1.0, others: 99.0 };
        let shape = Shape { connections: 32, paced: false };
        let round = |round, kind, cpu_us| Round { round, kind, shape, seen: seen(cpu_us) };
        let (n, h, s, u) = (Kind::Nginx, Kind::Haproxy, Kind::Short, Kind::Sockets);
        // The second round was noisy for everybody.
        let all = [round(0, n, 10.0), round(0, h, 12.0), round(0, s, 9.0), round(0, u, 6.0)];
        let noisy = [round(1, n, 24.0), round(1, h, 20.0), round(1, s, 18.0), round(1, u, 12.0)];
        let all = [all, noisy].concat();
        assert_eq!(ratios(&all, shape, &BARS[0]), [0.9, 0.9]);
        let text = render(&all);
        assert!(text.contains("cpu     at        32: 0.900 (0.900-0.900)  at most 0.95: met"), "{text}");
        assert!(
            text.ends_with("bench proxies rounds=2 cpu_32=0.900 p99_32=1.000 memory_32=1.000 sockets_32=0.550 bars=4 bars_missed=0\n"),
            "{text}"
        );
    }
}
