package augment

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// The published policies, without a size. Where the published one for small
// images differs, it stands in NAME-small.yaml.
//
//go:embed policies/*.yaml
var policyFiles embed.FS

const (
	smallSuffix = "-small"
	maxSmall    = 96 // pixels: the greatest side of a view that takes the small form
)

// Builtins returns the names of the policies that are built in, sorted.
func Builtins() []string {
	entries, _ := fs.ReadDir(policyFiles, "policies") // embedded: cannot fail
	var names []string
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".yaml"); !strings.HasSuffix(name, smallSuffix) {
			names = append(names, name)
		}
	}
	return names
}

// Builtin returns a policy that is built in, for views of size x size pixels.
func Builtin(name string, size int) (*Policy, error) {
	if !slices.Contains(Builtins(), name) {
		return nil, fmt.Errorf("augment: policy %s: not built in, want one of %s", quote(name), strings.Join(Builtins(), ", "))
	}
	if size < 1 {
		return nil, fmt.Errorf("augment: policy %s: size: got %d, want a number in [1, %d]", name, size, maxSide)
	}
	text, err := policyFiles.ReadFile("policies/" + name + smallSuffix + ".yaml")
	if size > maxSmall || err != nil {
		if text, err = policyFiles.ReadFile("policies/" + name + ".yaml"); err != nil {
			return nil, fmt.Errorf("augment: policy %s: %w", name, err)
		}
	}
	return Parse(name, text, size)
}

// Load returns the policy that is built in under a name, or else reads the file
// of that path. size is as in Parse.
func Load(nameOrPath string, size int) (*Policy, error) {
	if slices.Contains(Builtins(), nameOrPath) {
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
