package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"

	"clpipe/batch"
	"clpipe/contrast"
	"clpipe/internal/imagecodec"
	"clpipe/sink"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// maxSheetRows bounds a contact sheet to what a viewer still opens.
const maxSheetRows = 500

// viewCommand draws pairs as training sees them.
func viewCommand(std stdio, sig *signals) *cobra.Command {
	var (
		sheet  sheetJob
		output string
	)
	cmd := &cobra.Command{
		Use:   "view --src URL [--policy P] -o sheet.png",
		Short: "Draw a contact sheet: original, anchor, positive",
		Long: `Draws samples beside their two views into a PNG, made by the stages that
training runs, with the draws of its first epoch: what the sheet shows is what
an encoder trained with this seed and policy gets to see. Damaged samples are
named and have no row.`,
		Example: `  clpipe view --src s3shards/ -o sheet.png
  clpipe view --src s3shards/ --policy simclr --shuffle -n 12 --seed 7 -o simclr.png`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := sig.stoppable(cmd.Context())
			defer cancel()
			var err error
			if output == "-" {
				err = noTerminal(std, "a PNG")
			} else {
				err = wantPNG(output)
			}
			if err != nil {
				return err
			}
			if sheet.log, err = sheet.common.log(std); err != nil {
				return err
			}
			drawn, err := sheet.draw(ctx)
			if err != nil {
				return err
			}
			if output == "-" {
				return drawn.Encode(std.out)
			}
			if err := drawn.WriteFile(output); err != nil {
				return err
			}
			if sheet.common.json {
				return printJSON(std.out, map[string]any{"file": output, "rows": len(drawn.Rows), "policy": sheet.views.policy, "size": sheet.views.size})
			}
			_, err = fmt.Fprintf(std.out, "%s: %s\n", plural(len(drawn.Rows), "sample"), output)
			return err
		},
	}
	fs := cmd.Flags()
	sheet.add(fs)
	fs.StringVarP(&output, "output", "o", "sheet.png", "PNG file to write, - for standard output")
	return cmd
}

// sheetJob draws a contact sheet of a source.
type sheetJob struct {
	common commonFlags
	source sourceFlags
	views  viewFlags // as resolved, after draw
	rows   int
	log    *slog.Logger
}

func (s *sheetJob) add(fs *pflag.FlagSet) {
	s.common.addOutput(fs)
	s.common.addWorkers(fs)
	fs.Uint64Var(&s.common.seed, "seed", 1, "decides the views, and the order of --shuffle")
	s.common.addStall(fs)
	s.source.addSrc(fs)
	s.source.addMaxPixels(fs)
	s.source.addExif(fs)
	fs.BoolVar(&s.source.shuffle, "shuffle", false, "permute shards and samples, as training does")
	s.views.add(fs)
	fs.IntVarP(&s.rows, "rows", "n", 8, "samples on the sheet")
}

// draw runs the first samples of epoch 0 through the stages.
func (s *sheetJob) draw(ctx context.Context) (sink.Sheet, error) {
	if s.rows < 1 || s.rows > maxSheetRows {
		return sink.Sheet{}, usagef("-n is %d, want 1 to %d", s.rows, maxSheetRows)
	}
	// A look at some samples is no judgement of the whole: all damage is tolerated.
	rejects := &batch.Rejects{Max: 1, Log: nameIn(s.log)}
	cfg, err := s.source.ingestConfig(&s.common, rejects, s.log)
	if err != nil {
		return sink.Sheet{}, err
	}
	cfg.Epochs, cfg.RecordRows = 1, s.rows
	cfg.Encoded, cfg.Offsets = true, true
	src, err := openSource(ctx, cfg)
	if err != nil {
		return sink.Sheet{}, err
	}
	byMethod := func(size int) string {
		s.views.policy = contrast.PolicyFor(size)
		return s.views.policy
	}
	policy, err := s.views.load(byMethod, func() (int, error) { return shortSide(ctx, src) })
	if err != nil {
		return sink.Sheet{}, err
	}
	s.views.size = policy.Size()
	augment, err := augmentStage(&s.common, &s.source, policy, s.rows, rejects, &s.common.seed)
	if err != nil {
		return sink.Sheet{}, err
	}
	locals, _ := policy.Locals()
	sheet := sink.Sheet{
		Title:   fmt.Sprintf("%s, %d px, seed %d", s.views.policy, policy.Size(), s.common.seed),
		Columns: append([]string{"original"}, viewColumns(policy.Views(), locals)...),
	}
	originals := map[uint64]sink.Picture{}
	var pairs []shownPair
	p := s.common.pipeline(s.log)
	p.addSource(src)
	decoder := imagecodec.Decoder{Limits: imagecodec.Limits{MaxPixels: cfg.MaxPixels}, Upright: cfg.ExifTranspose}
	p.add("originals", keepOriginals(originals, &decoder))
	p.add("augment", augment)
	p.add("sheet", gatherPairs(&pairs, s.rows))
	if err := p.run(ctx); err != nil {
		return sink.Sheet{}, err
	}
	if len(pairs) == 0 {
		return sink.Sheet{}, fmt.Errorf("not one readable image in %q", s.source.names())
	}
	for _, pair := range pairs {
		sheet.Rows = append(sheet.Rows, sink.SheetRow{
			Caption:  pair.caption,
			Pictures: append([]sink.Picture{originals[pair.index]}, pair.views...),
		})
	}
	return sheet, nil
}

// shownPair is a pair on the sheet.
type shownPair struct {
	index   uint64 // of the sample in the epoch, which its original has too
	caption string
	views   []sink.Picture
}

// keepOriginals returns a stage that passes files of images on and keeps the
// picture of each that can be decoded, by index. The pictures may be looked at when
// the stage has returned.
func keepOriginals(kept map[uint64]sink.Picture, decoder *imagecodec.Decoder) batch.Stage {
	return func(ctx context.Context, in batch.Reader, out batch.Writer) error {
		schema, err := in.Schema(ctx)
		if err != nil {
			return err
		}
		if err := out.Open(ctx, schema); err != nil {
			return err
		}
		var img imagecodec.Image
		for {
			rec, err := in.Read(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			files, err := batch.NewEncoded(rec)
			if err != nil {
				rec.Release()
				return err
			}
			for i := range files.Len() {
				if err := decoder.Decode(files.Bytes(i), &img); err == nil { // else the stage that makes its views rejects it
					index, _ := files.Index(i)
					kept[index] = sink.Picture{Pix: img.Pix, W: img.W, H: img.H}.Shown()
				}
			}
			if err := out.Write(ctx, rec); err != nil {
				return err
			}
		}
	}
}

// gatherPairs returns a sink that copies the first n pairs.
func gatherPairs(pairs *[]shownPair, n int) batch.Stage {
	return func(ctx context.Context, in batch.Reader, _ batch.Writer) error {
		for len(*pairs) < n {
			rec, err := in.Read(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			rows, err := batch.NewPairs(rec)
			if err != nil {
				rec.Release()
				return err
			}
			for i := range min(rows.Len(), n-len(*pairs)) {
				*pairs = append(*pairs, copyPair(rows, i))
			}
			rec.Release()
		}
		return nil
	}
}

func copyPair(rows *batch.Pairs, i int) shownPair {
	index, _ := rows.Index(i)
	p := shownPair{index: index, caption: rows.ID(i)}
	if label, ok := rows.Label(i); ok {
		p.caption += fmt.Sprintf("   class %d", label)
	}
	for _, views := range [][]byte{rows.Anchor, rows.Positive} {
		if views != nil {
			size := len(views) / rows.Len()
			p.views = append(p.views, viewPicture(slices.Clone(views[i*size:(i+1)*size]), rows.Shape))
		}
	}
	for _, local := range localPictures(rows, i) {
		local.Pix = slices.Clone(local.Pix)
		p.views = append(p.views, local)
	}
	return p
}

// wantPNG refuses the name of a picture of another format: what is written is a PNG.
func wantPNG(path string) error {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".jpg", ".jpeg", ".webp", ".gif", ".svg", ".pdf":
		return usagef("-o is %s, but pictures are drawn as PNG: name it %s", path, strings.TrimSuffix(path, filepath.Ext(path))+".png")
	}
	return nil
}
