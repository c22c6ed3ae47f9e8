//! Small changes to inputs, for runs without libFuzzer: the same for the same seed, everywhere.
//!
//! Not guided by coverage: what these find is near the corpus. Called by `tests/corpus.rs`.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

/// Longest input that grows out of changes.
const LONGEST: usize = 16 << 10;

/// Makes inputs out of others.
#[derive(Debug)]
pub struct Mutator {
    random: StdRng,
    corpus: Vec<Vec<u8>>,
    words: Vec<Vec<u8>>,
}

impl Mutator {
    /// One that begins with `seed`, changes the inputs of `corpus`, and knows the words of a libFuzzer dictionary.
    pub fn new(seed: u64, corpus: Vec<Vec<u8>>, dictionary: &str) -> Mutator {
        let words = dictionary.lines().filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'));
        Mutator { random: StdRng::seed_from_u64(seed), corpus, words: words.map(unescaped).collect() }
    }

    /// The next input: one of the corpus, changed in one to four places.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut bytes = self.corpus.choose(&mut self.random).cloned().unwrap_or_default();
        for _ in 0..self.random.random_range(1..=4) {
            self.change(&mut bytes);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.random.random_range(0..=bytes.len());
        let end = (at + self.random.random_range(0..=12)).min(bytes.len());
        match self.random.random_range(0..6) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            2 if at < bytes.len() => bytes[at] ^= 1 << self.random.random_range(0..8),
            3 if at < bytes.len() => bytes[at] = *b"\0\n\r \t:0{\xff".choose(&mut self.random).unwrap_or(&0),
            4 => {
                let other = self.corpus.choose(&mut self.random).cloned().unwrap_or_default();
                let from = self.random.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let word = self.words.choose(&mut self.random).cloned().unwrap_or_default();
                bytes.splice(at..end, word);
            }
        }
    }
}

/// A word of a dictionary: `\xAB`, `\\` and `\"` are bytes, the rest stands for itself.
fn unescaped(word: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), word.as_bytes());
    while let [first, after @ ..] = rest {
        let hex = |digits: &[u8]| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        match (first, after) {
            (b'\\', [b'x', one, two, after @ ..]) => {
                bytes.extend(hex(&[*one, *two]));
                rest = after;
            }
            (b'\\', [escaped, after @ ..]) => {
                bytes.push(*escaped);
                rest = after;
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_inputs_and_words_are_bytes() {
        let inputs = |seed| {
            let mut mutator = Mutator::new(seed, vec![b"one".to_vec(), b"two".to_vec()], "# no word\n\"\\x0D\\\\a\"");
            assert_eq!(mutator.words, [b"\r\\a"]);
            (0..50).map(|_| mutator.next_input()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }
}
