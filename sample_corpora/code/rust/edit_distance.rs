// SPDX-License-Identifier: Apache-2.0
//! Suggests the nearest known word for one that was misspelt.

use std::env;

/// The least number of insertions, deletions, substitutions and swaps of
/// neighbouring letters that turn one word into the other.
fn edit_distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for i in 1..=left.len() {
        let mut row = vec![i; right.len() + 1];
        for j in 1..=right.len() {
            let change = usize::from(left[i - 1] != right[j - 1]);
            let mut best = (rows[i - 1][j - 1] + change)
                .min(rows[i - 1][j] + 1)
                .min(row[j - 1] + 1);
            let swapped = i > 1
                && j > 1
                && left[i - 1] == right[j - 2]
                && left[i - 2] == right[j - 1];
            if swapped {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row[j] = best;
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

fn suggest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let limit = word.chars().count() / 3 + 1;
    known
        .iter()
        .map(|candidate| (edit_distance(word, candidate), *candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, candidate)| candidate)
}

fn main() {
    let known = ["commit", "checkout", "clone", "config", "branch", "rebase"];
    let word = env::args().nth(1).unwrap_or_else(|| "chekcout".to_string());
    match suggest(&word, &known) {
        Some(found) => println!("{word}: did you mean {found}?"),
        None => println!("{word}: nothing similar is known"),
    }
}
