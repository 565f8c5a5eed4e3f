package main

import (
	"fmt"
	"maps"
	"slices"

	"clpipe/batch"

	"github.com/apache/arrow/go/v15/arrow"
	"github.com/spf13/cobra"
)

// schemaCommand shows what a stream says of itself.
func schemaCommand(std stdio, sig *signals) *cobra.Command {
	var json bool
	cmd := &cobra.Command{
		Use:   "schema [FILE]",
		Short: "Show what a stream holds: its kind, metadata and columns",
		Long: `Reads a stream's schema and leaves. Any Arrow stream will do, whoever wrote it,
unless columns are encoded by dictionaries or runs, or are unions, maps or views.`,
		Example: `  clpipe schema pairs.arrows
  clpipe ingest --src s3shards/ | clpipe schema --json`,
		Args: streamArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			in, err := openInput(ctx, std, argOr(args, "-"))
			if err != nil {
				return err
			}
			defer in.Close()
			schema, err := in.Schema(ctx)
			if err != nil {
				return err
			}
			said := describeSchema(schema)
			if json {
				return printJSON(std.out, said)
			}
			return said.print(std)
		},
	}
	cmd.Flags().BoolVar(&json, "json", false, "print one object")
	return cmd
}

// schemaDescription is a schema in words.
type schemaDescription struct {
	Schema   batch.Kind          `json:"schema"` // "" if the stream does not say
	Metadata batch.Metadata      `json:"metadata"`
	Columns  []columnDescription `json:"columns"`
}

type columnDescription struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Nullable bool   `json:"nullable"`
}

func describeSchema(s *arrow.Schema) schemaDescription {
	d := schemaDescription{Schema: batch.KindOf(s), Metadata: batch.MetadataOf(s), Columns: []columnDescription{}}
	for _, f := range s.Fields() {
		d.Columns = append(d.Columns, columnDescription{f.Name, f.Type.String(), f.Nullable})
	}
	return d
}

func (d schemaDescription) print(std stdio) error {
	var text []byte
	line := func(name, value string) { text = fmt.Appendf(text, "%-16s  %s\n", name, printable(value)) }
	kind := string(d.Schema)
	if kind == "" {
		kind = "none of clpipe's"
	}
	line(batch.KeySchema, kind)
	for _, k := range slices.Sorted(maps.Keys(d.Metadata)) {
		line(printable(k), d.Metadata[k])
	}
	text = append(text, '\n')
	for _, c := range d.Columns {
		if c.Nullable {
			c.Type += ", nullable"
		}
		line(printable(c.Name), c.Type)
	}
	_, err := std.out.Write(text)
	return err
}
