package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"clpipe/ingest/remote"
	"clpipe/sink"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// noArgs refuses positional arguments by name, and tells what may have been meant:
// a run, a source, or of clpipe itself a command.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	arg, path := remote.Redact(args[0]), cmd.CommandPath()
	switch option := optionFor(cmd.Flags(), args[0]); {
	case option == "src" && changed(cmd.Flags(), option):
		return usagef("%s takes no argument %q: give each source a --src of its own, and a pattern in quotes, or the shell expands it", path, arg)
	case option != "":
		return usagef("%s takes no argument %q: name it by --%s, as in %s --%s %s", path, arg, option, path, option, shellLine([]string{arg}))
	case cmd.Parent() == nil:
		return noCommand(cmd, arg)
	}
	return usagef("%s takes no argument %q: every option begins with --; see %s --help", path, arg, path)
}

// optionFor returns the option whose value an argument looks like, "" if it is none's.
func optionFor(fs *pflag.FlagSet, arg string) string {
	there := func(path string) bool {
		_, err := os.Stat(path)
		return err == nil
	}
	switch {
	case fs.Lookup("run") != nil && there(filepath.Join(arg, sink.ConfigFile)):
		return "run"
	case fs.Lookup("src") != nil && (there(arg) || strings.Contains(arg, "://")):
		return "src"
	}
	return ""
}

// noCommand says that a command has none of this name.
func noCommand(cmd *cobra.Command, name string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return usagef("%s has no command %q%s; see %s --help", cmd.CommandPath(), name, didYouMean("", name, names), cmd.CommandPath())
}

// flagError is an error of reading the command line's options. Of one that the
// command has not it tells which are near.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usageError{valueError(err)}
	}
	name := unknown.GetSpecifiedName()
	if letters := unknown.GetSpecifiedShortnames(); letters != "" {
		name, _, _ = strings.Cut(letters, "=") // as -src for --src
	}
	return usagef("%w%s; see %s --help", err, didYouMean("--", name, optionNames(cmd.Flags())), cmd.CommandPath())
}

// wanted says what an option takes, by pflag's name of its type.
var wanted = map[string]string{
	"bool": "true or false", "int": "a whole number", "uint64": "a whole number from 0 on",
	"float64": "a number", "float64Slice": "numbers as 1,0.5", "duration": "a time as 90s, 10m or 2h",
}

// valueError puts what pflag says of a value in the way of our own messages.
func valueError(err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		f := invalid.GetFlag()
		if want, ok := wanted[f.Value.Type()]; ok {
			return fmt.Errorf("--%s is %q, want %s", f.Name, invalid.GetValue(), want)
		}
	}
	return err
}

// optionNames lists the options that --help shows.
func optionNames(fs *pflag.FlagSet) []string {
	var names []string
	fs.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	return names
}

// didYouMean ends a message with those of the names that are near to the one that
// was asked for; "": none is.
func didYouMean(prefix, asked string, names []string) string {
	near := nearest(strings.ToLower(strings.ReplaceAll(asked, "_", "-")), names)
	if len(near) == 0 {
		return ""
	}
	return fmt.Sprintf(" (did you mean %s%s?)", prefix, strings.Join(near, " or "+prefix))
}

// nearest returns the names that the fewest slips of the pen lie between, one in a
// short name and two in a longer one at most; else those that begin as the asked
// one does, the longest first.
func nearest(asked string, names []string) []string {
	if len(asked) < 2 {
		return nil // everything short is near
	}
	least := 1
	if len(asked) > 4 {
		least = 2
	}
	var near, begun []string
	for _, name := range names {
		switch d := slips(asked, name); {
		case d < least:
			near, least = []string{name}, d
		case d == least:
			near = append(near, name)
		}
		if len(name) > 2 && strings.HasPrefix(asked, name) || len(asked) > 2 && strings.HasPrefix(name, asked) {
			begun = append(begun, name)
		}
	}
	if near == nil {
		slices.SortStableFunc(begun, func(a, b string) int { return len(b) - len(a) })
		near = begun
	}
	return near[:min(len(near), 3)]
}

// slips counts the letters to insert, leave out, replace or exchange with the next
// that make b of a (Damerau's distance, of optimal string alignment).
func slips(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replaced := rows[i-1][j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
