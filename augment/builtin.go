package augment

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
)

// The published policies, without a size. Where the published one for small
// images differs, it stands in NAME-N.yaml and holds for views up to N pixels.
//
//go:embed policies/*.yaml
var policyFiles embed.FS

// smallForms are the greatest sides of views, in pixels, that forms of their own
// are for: CIFAR's, and those between CIFAR and photos.
var smallForms = []int{48, 96}

// Builtins returns the names of the policies that are built in, sorted.
func Builtins() []string {
	entries, _ := fs.ReadDir(policyFiles, "policies") // embedded: cannot fail
	var names []string
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".yaml")
		if !slices.ContainsFunc(smallForms, func(n int) bool { return strings.HasSuffix(name, fmt.Sprintf("-%d", n)) }) {
			names = append(names, name)
		}
	}
	return names
}

// Builtin returns a policy that is built in, for views of size x size pixels.
// NAME:S gives a policy whose colour jitter has a strength, as simclr's, the
// strength S.
func Builtin(name string, size int) (*Policy, error) {
	base, strength, hasStrength := strings.Cut(name, ":")
	if !slices.Contains(Builtins(), base) {
		return nil, fmt.Errorf("augment: policy %s: not built in, want one of %s", quote(name), strings.Join(Builtins(), ", "))
	}
	if size < 1 {
		return nil, fmt.Errorf("augment: policy %s: size: got %d, want a number in [1, %d]", name, size, maxSide)
	}
	text, err := builtinText(base, size)
	if err != nil {
		return nil, fmt.Errorf("augment: policy %s: %w", name, err)
	}
	f := &policyFile{name: base}
	if hasStrength {
		s, err := strconv.ParseFloat(strength, 64)
		if in := (interval{lo: 0, hi: maxStrength}); err != nil || !in.holds(s) {
			return nil, fmt.Errorf("augment: policy %s: colour strength: got %s, want a number in %s", base, quote(strength), in)
		}
		f.strength = &s
	}
	return f.parse(text, size)
}

// builtinText returns the form of a policy that is for the smallest views not
// smaller than size.
func builtinText(name string, size int) ([]byte, error) {
	for _, n := range smallForms {
		if size > n {
			continue
		}
		if text, err := policyFiles.ReadFile(fmt.Sprintf("policies/%s-%d.yaml", name, n)); err == nil {
			return text, nil
		}
	}
	return policyFiles.ReadFile("policies/" + name + ".yaml")
}

// IsBuiltin tells whether Load takes the name for a policy that is built in.
func IsBuiltin(name string) bool {
	base, _, _ := strings.Cut(name, ":")
	return slices.Contains(Builtins(), base)
}

// Load returns the policy that is built in under a name, or else reads the file
// of that path. size is as in Parse.
func Load(nameOrPath string, size int) (*Policy, error) {
	if IsBuiltin(nameOrPath) {
		return Builtin(nameOrPath, size)
	}
	text, err := os.ReadFile(nameOrPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("augment: policy %s: no such file, and not built in: want one of %s or a path", quote(nameOrPath), strings.Join(Builtins(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("augment: policy: %w", err)
	}
	return Parse(nameOrPath, text, size)
}
