//! How sure a counted share is.

use statrs::distribution::{Beta, ContinuousCDF};

/// What a bound may be wrong with, on either side.
const SIDE: f64 = 0.025;

/// The interval of Clopper and Pearson at 95% for `hits` of `n`: exact, never too narrow.
pub fn interval(hits: u64, n: u64) -> (f64, f64) {
    let (k, n) = (hits.min(n) as f64, n as f64);
    let at = |a, b, q| Beta::new(a, b).map(|beta| beta.inverse_cdf(q)).unwrap_or(f64::NAN);
    let lower = if k == 0.0 { 0.0 } else { at(k, n - k + 1.0, SIDE) };
    let upper = if k == n { 1.0 } else { at(k + 1.0, n - k, 1.0 - SIDE) };
    (lower, upper)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_books() {
        let near = |(lower, upper): (f64, f64), (l, u): (f64, f64)| {
            assert!((lower - l).abs() < 5e-5 && (upper - u).abs() < 5e-5, "{lower} {upper}, where {l} {u} is right");
        };
        // None of a hundred: 1 - 0.025^(1/100).
        near(interval(0, 100), (0.0, 0.03622));
        near(interval(100, 100), (0.96378, 1.0));
        near(interval(5, 100), (0.01643, 0.11283));
        near(interval(0, 1_000), (0.0, 0.00368));
        assert_eq!(interval(0, 0), (0.0, 1.0));
    }
}
