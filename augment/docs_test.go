package augment

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestDocsNameEveryArgument compares docs/policies.md with the operators: each has a row
// that names all it takes, and each example is a policy.
func TestDocsNameEveryArgument(t *testing.T) {
	text, err := os.ReadFile("../docs/policies.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	word := regexp.MustCompile("`([a-z_]+)[:`]")
	for line := range strings.Lines(string(text)) {
		if cells := strings.Split(line, "|"); len(cells) == 5 {
			for _, name := range word.FindAllStringSubmatch(cells[1], -1) {
				rows[name[1]] = cells[2]
			}
		}
	}
	for name, kind := range operatorKinds {
		a := &arguments{file: &policyFile{}, op: name, node: &yaml.Node{Kind: yaml.MappingNode}, view: 32}
		kind.parse(a)
		row, ok := rows[name]
		if !ok {
			t.Errorf("docs/policies.md has no row of %s", name)
		}
		var named []string
		for _, argument := range word.FindAllStringSubmatch(row, -1) {
			named = append(named, argument[1])
		}
		for _, argument := range a.asked {
			if !slices.Contains(named, argument) {
				t.Errorf("docs/policies.md: the row of %s does not name %s", name, argument)
			}
		}
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if len(examples) == 0 {
		t.Error("docs/policies.md has no example")
	}
	for _, example := range examples {
		if _, err := Parse("docs/policies.md", []byte(example[1]), 224); err != nil {
			t.Error(err)
		}
	}
}
