// SPDX-License-Identifier: MIT

// Command wordfreq prints the most frequent words of its standard input.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"unicode"
)

type entry struct {
	word  string
	count int
}

func clean(word string) string {
	trimmed := strings.TrimFunc(word, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsNumber(r)
	})
	return strings.ToLower(trimmed)
}

func count(scanner *bufio.Scanner) (map[string]int, error) {
	counts := make(map[string]int)
	scanner.Split(bufio.ScanWords)
	for scanner.Scan() {
		if word := clean(scanner.Text()); word != "" {
			counts[word]++
		}
	}
	return counts, scanner.Err()
}

func top(counts map[string]int, n int) []entry {
	entries := make([]entry, 0, len(counts))
	for word, number := range counts {
		entries = append(entries, entry{word, number})
	}
	sort.Slice(entries, func(i, j int) bool {
		if entries[i].count != entries[j].count {
			return entries[i].count > entries[j].count
		}
		return entries[i].word < entries[j].word
	})
	if len(entries) > n {
		entries = entries[:n]
	}
	return entries
}

func main() {
	n := flag.Int("n", 20, "how many words to print")
	flag.Parse()
	scanner := bufio.NewScanner(os.Stdin)
	scanner.Buffer(make([]byte, 0, 64*1024), 1024*1024)
	counts, err := count(scanner)
	if err != nil {
		fmt.Fprintln(os.Stderr, "wordfreq:", err)
		os.Exit(1)
	}
	for _, e := range top(counts, *n) {
		fmt.Printf("%8d  %s\n", e.count, e.word)
	}
}
