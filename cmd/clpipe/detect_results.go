package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"clpipe/encoder/detect"
	"clpipe/encoder/probe"
	"clpipe/internal/imagecodec"
	"clpipe/sink"
	"clpipe/sink/chart"
)

// detectResult is a line of the outcome: means over the seeds, with their deviations.
type detectResult struct {
	Init     string             `json:"init"`     // trained, random, or the name of a file
	Backbone string             `json:"backbone"` // frozen or finetune
	AP50     float64            `json:"ap50"`
	AP       float64            `json:"ap"`
	AP75     float64            `json:"ap75"`
	Std      detectStd          `json:"std"`
	Classes  map[string]float64 `json:"classes"` // AP50 of those that the test images have
	Metric   string             `json:"metric"`
	Stride   int                `json:"stride"` // pixels from cell to cell of the encoder's map
	Seeds    int                `json:"seeds"`
	Steps    int                `json:"steps"` // of the detector
	Step     int                `json:"step"`  // of the run, whose weights were taken
}

type detectStd struct {
	AP50 float64 `json:"ap50"`
	AP   float64 `json:"ap"`
	AP75 float64 `json:"ap75"`
}

// summarise takes the means of scores.
func summarise(scores []detect.Score, classes []string) detectResult {
	mean := func(of func(detect.Score) float64) (mean, std float64) {
		var values []float64
		for _, s := range scores {
			values = append(values, of(s))
		}
		return probe.MeanStd(values)
	}
	r := detectResult{Seeds: len(scores), Classes: map[string]float64{}}
	r.AP50, r.Std.AP50 = mean(func(s detect.Score) float64 { return s.AP50 })
	r.AP, r.Std.AP = mean(func(s detect.Score) float64 { return s.AP })
	r.AP75, r.Std.AP75 = mean(func(s detect.Score) float64 { return s.AP75 })
	for c, name := range classes {
		if ap, _ := mean(func(s detect.Score) float64 { return s.Class[c] }); !math.IsNaN(ap) {
			r.Classes[name] = ap
		}
	}
	return r
}

func printDetection(out io.Writer, results []detectResult, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		for _, r := range results {
			if err := enc.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, line := range detectionLines(results) {
		fmt.Fprintln(w, strings.Join(line, "\t"))
	}
	return w.Flush()
}

// detectionLines are the cells of the table.
func detectionLines(results []detectResult) [][]string {
	lines := [][]string{{"backbone", "init", "AP50", "AP", "AP75"}}
	for _, r := range results {
		cell := func(mean, std float64) string {
			if r.Seeds == 1 {
				return fmt.Sprintf("%.1f", 100*mean)
			}
			return fmt.Sprintf("%.1f ± %.1f", 100*mean, 100*std)
		}
		lines = append(lines, []string{r.Backbone, r.Init, cell(r.AP50, r.Std.AP50), cell(r.AP, r.Std.AP), cell(r.AP75, r.Std.AP75)})
	}
	return lines
}

// write writes the table, chart and sheet of what is finished.
func (t *transfer) write(results []detectResult) error {
	if err := t.writeTable(results); err != nil {
		return err
	}
	return t.writeSheet()
}

// show keeps what the first images of a sheet need, and writes all that was found
// into the folder of results.
func (t *transfer) show(name string, found [][]detect.Detection) error {
	var folders []string
	for _, s := range t.shown {
		folders = append(folders, s.folder)
	}
	s := shownRun{name, fileName(name, folders), slices.Clone(found[:min(len(found), sheetImages)])}
	t.shown = append(t.shown, s)
	if t.output == "" {
		return nil
	}
	dir := filepath.Join(t.output, "detections", s.folder)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	var files []string
	for number, class := range t.testSet.classes {
		files = append(files, fileName(class, files))
		if err := replaceText(filepath.Join(dir, "comp4_det_test_"+files[number]+".txt"), string(t.testSet.vocLines(number, found))); err != nil {
			return err
		}
	}
	return nil
}

// fileName returns a name without what some system would not have in that of a file,
// and unlike those taken, of which some systems would not tell capitals from others.
func fileName(name string, taken []string) string {
	const longest = 100
	name = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`/\:*?"<>|`, r) {
			return '_'
		}
		return r
	}, name)
	name = strings.ToValidUTF8(name[:min(len(name), longest)], "")
	for slices.ContainsFunc(taken, func(other string) bool { return strings.EqualFold(other, name) }) {
		name += "_"
	}
	return name
}

func (t *transfer) writeTable(results []detectResult) error {
	var lines strings.Builder
	if err := printDetection(&lines, results, true); err != nil {
		return err
	}
	if err := replaceText(filepath.Join(t.output, "table.jsonl"), lines.String()); err != nil {
		return err
	}
	d := chart.Bars{Title: "Transfer to detection", YLabel: "average precision, %"}
	values := []chart.BarSeries{{Name: "AP50"}, {Name: "AP"}, {Name: "AP75"}}
	for _, r := range results {
		d.Groups = append(d.Groups, r.Init+" "+r.Backbone)
		for i, v := range [][2]float64{{r.AP50, r.Std.AP50}, {r.AP, r.Std.AP}, {r.AP75, r.Std.AP75}} {
			values[i].Values, values[i].Err = append(values[i].Values, 100*v[0]), append(values[i].Err, 100*v[1])
		}
	}
	d.Series = values
	return chart.WriteBars(filepath.Join(t.output, "table.png"), d)
}

// What a sheet shows: the first images, and of what was found in them that which is
// rather an object than not.
const (
	sheetImages = 6
	sheetScore  = 0.3
)

// writeSheet draws the objects of the first test images, and beside them what each
// training of the first seed found.
func (t *transfer) writeSheet() error {
	sheet := sink.Sheet{Title: "Objects, and what was found", Columns: []string{"truth"}, Classes: t.testSet.classes}
	for _, s := range t.shown {
		sheet.Columns = append(sheet.Columns, s.name)
	}
	d := t.decoder()
	for i, im := range t.testSet.images[:min(len(t.testSet.images), sheetImages)] {
		file, err := t.testSet.file(i)
		if err != nil {
			return err
		}
		var img imagecodec.Image
		if err := d.Decode(file, &img); err != nil {
			return fmt.Errorf("%s: %w", im.Path, err)
		}
		picture := sink.Picture{Pix: img.Pix, W: img.W, H: img.H}
		var truths []sink.Mark
		for _, o := range im.Objects {
			truths = append(truths, sink.Mark{Box: o.Box, Class: slices.Index(t.testSet.classes, o.Class)})
		}
		row := sink.SheetRow{Caption: im.Name, Pictures: []sink.Picture{picture.Marked(truths)}}
		for _, s := range t.shown {
			var found []sink.Mark
			for _, o := range s.found[i] {
				if o.Score >= sheetScore {
					found = append(found, sink.Mark{Box: o.Box, Class: o.Class})
				}
			}
			row.Pictures = append(row.Pictures, picture.Marked(found))
		}
		sheet.Rows = append(sheet.Rows, row)
	}
	return sheet.WriteFile(filepath.Join(t.output, "sheet.png"))
}
