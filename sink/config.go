package sink

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// DiffConfig compares two configurations in YAML and returns a line for each
// setting that differs, as "temperature: 0.1, now 0.2", sorted. Nested settings
// are named with dots. Those in ignore, and all below them, may differ.
func DiffConfig(before, now []byte, ignore []string) ([]string, error) {
	a, err := flatten(before)
	if err != nil {
		return nil, err
	}
	b, err := flatten(now)
	if err != nil {
		return nil, err
	}
	all := maps.Clone(a)
	maps.Copy(all, b)
	var lines []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if !isIgnored(key, ignore) && !reflect.DeepEqual(a[key], b[key]) {
			lines = append(lines, fmt.Sprintf("%s: %s, now %s", key, show(a[key]), show(b[key])))
		}
	}
	return lines, nil
}

// flatten reads a YAML mapping and names its leaves with dots.
func flatten(text []byte) (map[string]any, error) {
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, err
	}
	flat := map[string]any{}
	var walk func(prefix string, tree map[string]any)
	walk = func(prefix string, tree map[string]any) {
		for key, value := range tree {
			if sub, ok := value.(map[string]any); ok {
				walk(prefix+key+".", sub)
			} else {
				flat[prefix+key] = value
			}
		}
	}
	walk("", tree)
	return flat, nil
}

func isIgnored(key string, ignore []string) bool {
	return slices.ContainsFunc(ignore, func(name string) bool {
		return key == name || strings.HasPrefix(key, name+".")
	})
}

// show prints a value in a line, and no more of it than fits.
func show(value any) string {
	if value == nil {
		return "not set"
	}
	text := fmt.Sprintf("%v", value)
	if len(text) > 60 {
		text = strings.ToValidUTF8(text[:57], "") + "…"
	}
	return text
}
