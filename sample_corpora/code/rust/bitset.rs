// SPDX-License-Identifier: CC0-1.0
//! A set of small numbers, stored as one bit each, and a sieve that uses it.

#[derive(Clone)]
struct BitSet {
    words: Vec<u64>,
}

impl BitSet {
    fn full(size: usize) -> Self {
        let mut set = BitSet { words: vec![u64::MAX; size.div_ceil(64)] };
        for extra in size..set.words.len() * 64 {
            set.remove(extra);
        }
        set
    }

    fn remove(&mut self, index: usize) {
        self.words[index / 64] &= !(1 << (index % 64));
    }

    fn contains(&self, index: usize) -> bool {
        self.words
            .get(index / 64)
            .is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    fn count(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.words.iter().enumerate().flat_map(|(block, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                if rest == 0 {
                    return None;
                }
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                Some(block * 64 + bit)
            })
        })
    }
}

fn primes_below(limit: usize) -> BitSet {
    let mut candidates = BitSet::full(limit);
    for small in 0..limit.min(2) {
        candidates.remove(small);
    }
    let mut number = 2;
    while number * number < limit {
        if candidates.contains(number) {
            for multiple in (number * number..limit).step_by(number) {
                candidates.remove(multiple);
            }
        }
        number += 1;
    }
    candidates
}

fn main() {
    let primes = primes_below(10_000);
    let last: Vec<usize> = primes.iter().skip(primes.count() as usize - 3).collect();
    println!("{} primes, the last of them {:?}", primes.count(), last);
}
