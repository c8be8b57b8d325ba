// SPDX-License-Identifier: BSD-3-Clause

// Command checksumtree writes or verifies the SHA-256 sums of a folder's files.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func sum(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func write(root string, out io.Writer) error {
	return filepath.WalkDir(root, func(path string, item fs.DirEntry, err error) error {
		if err != nil || !item.Type().IsRegular() {
			return err
		}
		digest, err := sum(path)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(out, "%s  %s\n", digest, path)
		return err
	})
}

func verify(list io.Reader) (bad int, err error) {
	scanner := bufio.NewScanner(list)
	for scanner.Scan() {
		want, path, found := strings.Cut(scanner.Text(), "  ")
		if !found {
			return bad, fmt.Errorf("line %q has no two spaces in it", scanner.Text())
		}
		got, err := sum(path)
		if err != nil || got != want {
			fmt.Println("changed:", path)
			bad++
		}
	}
	return bad, scanner.Err()
}

func main() {
	if len(os.Args) == 2 {
		if err := write(os.Args[1], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	bad, err := verify(os.Stdin)
	if err != nil || bad > 0 {
		fmt.Fprintln(os.Stderr, bad, "files differ", err)
		os.Exit(1)
	}
}
