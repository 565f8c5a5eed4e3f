package main

import (
	"bytes"
	"strings"
	"testing"

	"clpipe/ingest"
)

// TestReportOfManySizes prints what photos have, a size each, and a thousand classes.
func TestReportOfManySizes(t *testing.T) {
	report := &ingest.Report{}
	for i := range 1000 {
		report.Sizes = append(report.Sizes, ingest.SizeCount{Format: "jpeg", W: 1 + i, H: 5, Samples: 2})
		report.Classes = append(report.Classes, ingest.ClassCount{Label: int64(i), Samples: 3})
	}
	var out bytes.Buffer
	if err := printReport(&out, report); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n > 100 {
		t.Errorf("got %d lines, want at most 100", n)
	}
	for _, want := range []string{"\n30x5 ", "\n970 others            1940\n", "\n29 ", "\n970 others   2910\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in:\n%s", want, out.String())
		}
	}
}
