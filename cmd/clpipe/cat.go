package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"clpipe/batch"
	"clpipe/sink"

	"github.com/spf13/cobra"
)

// catCommand shows all rows of a stream.
func catCommand(std stdio, sig *signals) *cobra.Command {
	return rowsCommand(std, sig, &cobra.Command{
		Use:   "cat [FILE]",
		Short: "Show the rows of a stream",
		Long: `Reads a stream of images, encoded images, pairs or embeddings to its end and
shows a line a row: place in the epoch, label, shape and id. With -o the images
are drawn on a contact sheet instead.`,
		Example: `  clpipe cat pairs.arrows
  clpipe ingest --src s3shards/ --limit 100 | clpipe cat --json`,
	}, 0)
}

// headCommand shows the first rows of a stream.
func headCommand(std stdio, sig *signals) *cobra.Command {
	return rowsCommand(std, sig, &cobra.Command{
		Use:   "head [FILE]",
		Short: "Show the first rows of a stream",
		Long: `Shows the first rows of a stream as cat does, and leaves: whoever writes the
stream ends quietly.`,
		Example: `  clpipe augment --src s3shards/ | clpipe head -n 20
  clpipe augment --src s3shards/ | clpipe head -n 8 -o sheet.png`,
	}, 10)
}

// rowsCommand completes a command that shows rows, n of them unless told
// otherwise; 0 is all.
func rowsCommand(std stdio, sig *signals, cmd *cobra.Command, n int) *cobra.Command {
	var (
		json   bool
		output string
	)
	cmd.Args = streamArg
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx, cancel := sig.stoppable(cmd.Context())
		defer cancel()
		if n < 0 {
			return usagef("-n is %d, want 0 (all) or more", n)
		}
		if output == "-" {
			if err := noTerminal(std, "a PNG"); err != nil {
				return err
			}
		}
		in, err := openInput(ctx, std, argOr(args, "-"))
		if err != nil {
			return err
		}
		defer in.Close()
		if output != "" {
			return drawStream(ctx, std, in, n, output, json)
		}
		lines := &rowPrinter{out: std.out, json: json}
		return eachRow(ctx, in, n, func(r streamRow, _ func() ([]sink.Picture, error)) error { return lines.print(r) })
	}
	fs := cmd.Flags()
	fs.IntVarP(&n, "rows", "n", n, "rows to show (0: all)")
	fs.BoolVar(&json, "json", false, "print an object a row")
	fs.StringVarP(&output, "output", "o", "", "PNG file for a contact sheet of the images, - for standard output")
	return cmd
}

// streamArg lets a command have one argument, the stream to read.
func streamArg(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usagef("%s reads one stream, got %d: %q", cmd.CommandPath(), len(args), args)
	}
	return nil
}

func argOr(args []string, otherwise string) string {
	if len(args) > 0 {
		return args[0]
	}
	return otherwise
}

// eachRow calls show for the first n rows of a stream, for all if n is 0, with
// what gives the row's pictures: originals or views, none of an embedding. They
// live no longer than the call.
func eachRow(ctx context.Context, in batch.Reader, n int, show func(streamRow, func() ([]sink.Picture, error)) error) error {
	schema, err := in.Schema(ctx)
	if err != nil {
		return err
	}
	kind, err := batch.Expect(schema, batch.PairsKind, batch.ImagesKind, batch.EncodedKind, batch.EmbeddingsKind)
	if err != nil {
		return err
	}
	for shown := 0; n == 0 || shown < n; {
		rec, err := in.Read(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		rows, err := rowsOf(kind, rec)
		for i := 0; err == nil && i < int(rec.NumRows()) && (n == 0 || shown < n); i++ {
			err = show(rows.row(i), func() ([]sink.Picture, error) { return rows.pictures(i) })
			shown++
		}
		rec.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

// rowPrinter prints rows as lines.
type rowPrinter struct {
	out   io.Writer
	json  bool
	begun bool
}

func (p *rowPrinter) print(r streamRow) error {
	if p.json {
		return printJSON(p.out, r)
	}
	// The columns are as wide as most values need: a stream may have no end to
	// wait for, so they cannot follow the widest.
	const layout = "%-12s  %6s  %-16s  %s\n"
	if !p.begun {
		p.begun = true
		if _, err := fmt.Fprintf(p.out, layout, "epoch:index", "label", "shape", "id"); err != nil {
			return err
		}
	}
	place, label := "-", "-"
	if r.Index != nil {
		place = batch.Position{Epoch: r.Epoch, Index: *r.Index}.String()
	}
	if r.Label != nil {
		label = strconv.FormatInt(*r.Label, 10)
	}
	_, err := fmt.Fprintf(p.out, layout, place, label, r.shape(), printable(r.ID))
	return err
}

// printable returns text as it stands if a terminal can show it, else quoted.
func printable(s string) string {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) }
	if !utf8.ValidString(s) || strings.ContainsFunc(s, hidden) {
		return strconv.Quote(s)
	}
	return s
}

// drawStream draws the first n rows of a stream, all if n is 0, and tells of the
// file in words or as JSON.
func drawStream(ctx context.Context, std stdio, in batch.Reader, n int, output string, json bool) error {
	if n > maxSheetRows {
		return usagef("-n is %d, a sheet holds at most %d rows", n, maxSheetRows)
	}
	var sheet sink.Sheet
	err := eachRow(ctx, in, n, func(r streamRow, pictures func() ([]sink.Picture, error)) error {
		if len(sheet.Rows) == maxSheetRows {
			return usagef("the stream has more than %d rows, as many as a sheet holds: give -n", maxSheetRows)
		}
		views, err := pictures()
		if err != nil {
			return err
		}
		if sheet.Columns == nil {
			sheet.Columns = []string{"image"}
			if r.Views > 0 {
				locals := 0
				if r.Local != nil {
					locals = r.Local[0]
				}
				sheet.Columns = viewColumns(r.Views, locals)
			}
		}
		row := sink.SheetRow{Caption: strings.Clone(r.ID)} // which lies in the record
		if r.Label != nil {
			row.Caption += fmt.Sprintf("   class %d", *r.Label)
		}
		for _, v := range views {
			row.Pictures = append(row.Pictures, v.Shown())
		}
		sheet.Rows = append(sheet.Rows, row)
		return nil
	})
	if err != nil {
		return err
	}
	if output == "-" {
		return sheet.Encode(std.out)
	}
	if err := sheet.WriteFile(output); err != nil {
		return err
	}
	if json {
		return printJSON(std.out, map[string]any{"file": output, "rows": len(sheet.Rows)})
	}
	_, err = fmt.Fprintf(std.out, "%s: %s\n", plural(len(sheet.Rows), "row"), output)
	return err
}

// shape returns the row's shape as text, as in 2x[32,32,3] for a pair.
func (r *streamRow) shape() string {
	dims := make([]string, len(r.Shape))
	for i, d := range r.Shape {
		dims[i] = strconv.Itoa(d)
	}
	text := "[" + strings.Join(dims, ",") + "]"
	if r.Views > 0 {
		text = fmt.Sprintf("%dx%s", r.Views, text)
	}
	if r.Format != "" {
		text += " " + r.Format
	}
	return text
}
