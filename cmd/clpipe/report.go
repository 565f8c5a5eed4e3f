package main

import (
	"bytes"
	"fmt"
	"io"
	"path/filepath"

	"clpipe/sink"
	"clpipe/sink/report"

	"github.com/spf13/cobra"
)

// reportCommand draws a run directory.
func reportCommand(std stdio, _ *signals) *cobra.Command {
	var (
		common commonFlags
		run    string
		output string
	)
	cmd := &cobra.Command{
		Use:   "report --run DIR [-o FILE.html]",
		Short: "Draw a run into one self-contained HTML file",
		Long: `Draws a run directory into one HTML file that needs nothing beside it: loss,
bound on mutual information, contrast accuracy and kNN over the steps, alignment
and uniformity, speed and what each stage did, the settings, what was rejected,
and the PNGs in the directory. A run under way is drawn as far as it has come;
train --listen shows the same page live.`,
		Example: `  clpipe report --run runs/first
  clpipe report --run runs/first -o first.html`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if run == "" {
				return usagef("--run is missing: name a run directory, as in clpipe report --run runs/first")
			}
			if output == "" {
				output = filepath.Join(run, "report.html")
			}
			var page bytes.Buffer
			if err := report.Write(&page, run, 0); err != nil {
				return err
			}
			if output == "-" {
				_, err := page.WriteTo(std.out)
				return err
			}
			if err := sink.Replace(output, func(w io.Writer) error { _, err := page.WriteTo(w); return err }); err != nil {
				return err
			}
			if common.json {
				return printJSON(std.out, map[string]any{"file": output})
			}
			_, err := fmt.Fprintln(std.out, output)
			return err
		},
	}
	fs := cmd.Flags()
	common.addOutput(fs)
	fs.StringVar(&run, "run", "", "run directory")
	fs.StringVarP(&output, "output", "o", "", "HTML file to write, - for standard output (default report.html in the run directory)")
	return cmd
}
