// SPDX-License-Identifier: MIT

// Package trie stores words by their letters and completes prefixes.
package trie

import "sort"

// Trie is a tree in which every path from the root spells a prefix.
type Trie struct {
	children map[rune]*Trie
	weight   int
}

// New returns an empty trie.
func New() *Trie {
	return &Trie{children: make(map[rune]*Trie)}
}

// Add raises the weight of a word.
func (t *Trie) Add(word string, weight int) {
	node := t
	for _, letter := range word {
		next, found := node.children[letter]
		if !found {
			next = New()
			node.children[letter] = next
		}
		node = next
	}
	node.weight += weight
}

// Completion is a word together with its weight.
type Completion struct {
	Word   string
	Weight int
}

// Complete returns the heaviest words that begin with the prefix.
func (t *Trie) Complete(prefix string, limit int) []Completion {
	node := t
	for _, letter := range prefix {
		next, found := node.children[letter]
		if !found {
			return nil
		}
		node = next
	}
	var found []Completion
	var walk func(node *Trie, word []rune)
	walk = func(node *Trie, word []rune) {
		if node.weight > 0 {
			found = append(found, Completion{string(word), node.weight})
		}
		for letter, child := range node.children {
			walk(child, append(word[:len(word):len(word)], letter))
		}
	}
	walk(node, []rune(prefix))
	sort.Slice(found, func(i, j int) bool {
		if found[i].Weight == found[j].Weight {
			return found[i].Word < found[j].Word
		}
		return found[i].Weight > found[j].Weight
	})
	if len(found) > limit {
		found = found[:limit]
	}
	return found
}
