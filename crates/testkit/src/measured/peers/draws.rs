//! Numbers of requests, from the same seeded generator as everything else.

use std::convert::Infallible;

use rand::TryRng;
use rand_distr::{Binomial, Distribution, Poisson};
use slipway_core::judge::simulation::Random;

struct Bits<'a>(&'a mut Random);

impl TryRng for Bits<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.0.bits() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.bits())
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        for part in target.chunks_mut(8) {
            part.copy_from_slice(&self.0.bits().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

/// How many come, where so many are expected.
pub fn poisson(random: &mut Random, expected: f64) -> u64 {
    // Nothing is expected of a side that has no traffic.
    Poisson::new(expected).map_or(0, |poisson| poisson.sample(&mut Bits(random)) as u64)
}

/// How many of `n` are hit.
pub fn binomial(random: &mut Random, n: u64, chance: f64) -> u64 {
    if n == 0 {
        return 0;
    }
    Binomial::new(n, chance.clamp(0.0, 1.0)).map_or(0, |binomial| binomial.sample(&mut Bits(random)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_ends_are_right() {
        let mut random = Random::new(3);
        let mean = |total: u64| total as f64 / 20_000.0;
        let few = mean((0..20_000).map(|_| poisson(&mut random, 0.7)).sum());
        let many = mean((0..20_000).map(|_| poisson(&mut random, 300.0)).sum());
        let hit = mean((0..20_000).map(|_| binomial(&mut random, 500, 0.02)).sum());
        assert!(
            (few - 0.7).abs() < 0.03 && (many - 300.0).abs() < 0.6 && (hit - 10.0).abs() < 0.1,
            "{few} {many} {hit}"
        );
        assert_eq!(
            (poisson(&mut random, 0.0), binomial(&mut random, 9, 1.0), binomial(&mut random, 9, 0.0)),
            (0, 9, 0)
        );
    }
}
