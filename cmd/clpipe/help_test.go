package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// TestHelpNamesEveryOptionOnce reads the help of every command: each option stands in
// it once, whatever topic it is about, and each topic's options are some command's.
func TestHelpNamesEveryOptionOnce(t *testing.T) {
	_, sig := watchSignals(context.Background())
	defer sig.release()
	known := map[string]bool{"help": true, "version": true} // which cobra adds
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		help := options(cmd.LocalFlags())
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			known[f.Name] = true
			lines := regexp.MustCompile("(?m)^ {2}(   |-., ) ?--"+f.Name+" ").FindAllString(help, -1)
			if want := !f.Hidden; len(lines) > 1 || len(lines) == 1 != want {
				t.Errorf("%s: %d lines of its help are on --%s, hidden: %v", cmd.CommandPath(), len(lines), f.Name, f.Hidden)
			}
		})
		for line := range strings.Lines(help) {
			if n := utf8.RuneCountInString(line); n > helpColumns+len("default") { // which pflag keeps with its value
				t.Errorf("%s: a line of %d characters, want %d: %s", cmd.CommandPath(), n, helpColumns, line)
			}
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	var out bytes.Buffer
	visit(rootCommand(stdio{nil, &out, &out}, sig))
	for _, topic := range topics {
		for _, name := range topic.options {
			if !known[name] {
				t.Errorf("topic %q names --%s, which no command has", topic.title, name)
			}
		}
	}
}
