// Package brace expands the brace patterns that name shards, as
// train-{000000..000009}.tar.
package brace

import (
	"fmt"
	"strconv"
	"strings"
)

// Expand returns the paths that a brace pattern stands for, in the order
// of the pattern: {a,b} is each of its parts, {000..012} each number from the
// first to the last, zero padding kept. Groups may nest. More than limit paths
// are an error.
func Expand(pattern string, limit int) ([]string, error) {
	open := strings.IndexByte(pattern, '{')
	if open < 0 {
		if strings.IndexByte(pattern, '}') >= 0 {
			return nil, fmt.Errorf("a } without its {")
		}
		return []string{pattern}, nil
	}
	head := pattern[:open]
	if strings.IndexByte(head, '}') >= 0 {
		return nil, fmt.Errorf("a } without its {")
	}
	parts, rest, err := splitGroup(pattern[open+1:])
	if err != nil {
		return nil, err
	}
	var middles []string
	if len(parts) == 1 {
		middles, err = expandRange(parts[0], limit)
		if err != nil {
			return nil, err
		}
	}
	for _, part := range parts {
		if len(parts) == 1 {
			break
		}
		expanded, err := Expand(part, limit-len(middles))
		if err != nil {
			return nil, err
		}
		middles = append(middles, expanded...)
	}
	tails, err := Expand(rest, limit)
	if err != nil {
		return nil, err
	}
	if len(middles)*len(tails) > limit {
		return nil, tooMany(limit)
	}
	out := make([]string, 0, len(middles)*len(tails))
	for _, m := range middles {
		for _, t := range tails {
			out = append(out, head+m+t)
		}
	}
	return out, nil
}

func tooMany(limit int) error { return fmt.Errorf("stands for more than %d paths", limit) }

// splitGroup splits what follows a { into the group's parts and what comes
// after its }.
func splitGroup(s string) (parts []string, rest string, err error) {
	depth, from := 0, 0
	for i := range len(s) {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth == 0 {
				return append(parts, s[from:i]), s[i+1:], nil
			}
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, s[from:i])
				from = i + 1
			}
		}
	}
	return nil, "", fmt.Errorf("a { without its }")
}

// expandRange expands FROM..TO, two decimal numbers, up or down.
func expandRange(s string, limit int) ([]string, error) {
	first, last, ok := strings.Cut(s, "..")
	from, err1 := strconv.ParseUint(first, 10, 63)
	to, err2 := strconv.ParseUint(last, 10, 63)
	if !ok || err1 != nil || err2 != nil {
		return nil, fmt.Errorf("group {%.40s}: want {FROM..TO} of two numbers, or {A,B}", s)
	}
	width := 0
	if padded(first) || padded(last) {
		width = max(len(first), len(last))
	}
	step, n := uint64(1), to-from
	if to < from {
		step, n = ^uint64(0), from-to // adding the largest number steps down by one
	}
	if n >= uint64(max(limit, 0)) {
		return nil, tooMany(limit)
	}
	out := make([]string, n+1)
	for i := range out {
		out[i] = fmt.Sprintf("%0*d", width, from+uint64(i)*step)
	}
	return out, nil
}

func padded(number string) bool { return len(number) > 1 && number[0] == '0' }
