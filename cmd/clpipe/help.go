package main

import (
	"slices"
	"strings"
	"text/template"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const (
	helpColumns = 100 // lines of options are wrapped there
	fewOptions  = 15  // stand in one list
)

// A topic is what some options are about.
type topic struct {
	title   string
	options []string // as one thinks of them
}

func about(title, options string) topic { return topic{title, strings.Fields(options)} }

// topics divide the options of a command that has many. What a command begins with, and
// what it alone has, stands before them.
var topics = []topic{
	about("Where images come from", "max-rejects max-pixels exif-transpose fast-decode no-sign-request cache cache-size"),
	about("Their order", "shuffle shuffle-buffer shuffle-bytes interleave index limit from rank world tail"),
	about("Views", "policy size local-crops local-size"),
	about("Network", "encoder width head hidden dim depth init normalize conv"),
	about("Keys and negatives", "temperature learn-temperature queue queue-init mask-same-id momentum momentum-schedule symmetric split-bn"),
	about("Steps", "batch optimizer lr schedule warmup warmup-epochs weight-decay clip-norm ema"),
	about("Of single methods", "critic bound bound-alpha chunk directions dim-objective estimator prior coordinates occlude mixture mixture-sharpness mixture-entropy"),
	about("While it runs", "checkpoint-every keep log-every val val-train eval-every listen"),
	about("Of most commands", "config seed workers mem stall-timeout json quiet log-level help version"),
}

// options returns the usage of a command's options, by topics where they are many.
func options(of *pflag.FlagSet) string {
	var first []string
	count := 0
	of.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		count++
		if !slices.ContainsFunc(topics, func(t topic) bool { return slices.Contains(t.options, f.Name) }) {
			first = append(first, f.Name)
		}
	})
	if count <= fewOptions {
		return "Flags:\n" + of.FlagUsagesWrapped(helpColumns)
	}
	var text strings.Builder
	for _, t := range append([]topic{{"Flags", first}}, topics...) {
		some := pflag.NewFlagSet("", pflag.ContinueOnError)
		some.SortFlags = false
		for _, name := range t.options {
			if f := of.Lookup(name); f != nil {
				some.AddFlag(f)
			}
		}
		if some.HasFlags() {
			text.WriteString(t.title + ":\n" + some.FlagUsagesWrapped(helpColumns) + "\n")
		}
	}
	return strings.TrimSuffix(text.String(), "\n")
}

var usageText = template.Must(template.New("usage").Funcs(template.FuncMap{"options": options}).Parse(
	`Usage:
{{- if .Runnable}}
  {{.UseLine}}{{end}}
{{- if .HasAvailableSubCommands}}
  {{.CommandPath}} [command]{{end}}
{{- if .HasExample}}

Examples:
{{.Example}}{{end}}
{{- if .HasAvailableSubCommands}}{{$commands := .Commands}}
{{- range $group := .Groups}}

{{.Title}}:
{{- range $commands}}{{if and .IsAvailableCommand (eq .GroupID $group.ID)}}
  {{printf "%-11s %s" .Name .Short}}{{end}}{{end}}{{end}}
{{- if not .Groups}}

Commands:
{{- range $commands}}{{if .IsAvailableCommand}}
  {{printf "%-11s %s" .Name .Short}}{{end}}{{end}}{{end}}{{end}}

{{options .LocalFlags}}
{{- if .HasAvailableSubCommands}}
Use "{{.CommandPath}} [command] --help" for more information about a command.
{{end}}`))

// writeUsage writes how a command is called: the part of its help below what it is for.
func writeUsage(cmd *cobra.Command) error { return usageText.Execute(cmd.OutOrStderr(), cmd) }
