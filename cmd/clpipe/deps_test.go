package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// module is the path that the import paths of all our packages begin with.
const module = "clpipe"

// mayImport lists the folders, and what of ours the packages in and below them
// may import beside each other (tests may import what they like). The longest
// folder that fits a package decides. All arrows point down, so there can be no
// cycle, and stages know each other by the records between them only.
var mayImport = []struct {
	folder string
	may    []string
	why    string
}{
	{"internal/rng", nil, "draws are numbers and know nothing of what is drawn"},
	{"internal/par", nil, "the worker pool runs anybody's work"},
	{"internal/imagecodec", nil, "decoders turn bytes into pixels, for ingest and augment alike"},
	{"internal/hugepage", nil, "a word to the system about memory, whatever lies in it"},
	{"internal/kernel", []string{"internal/hugepage", "internal/par"}, "kernels work on plain slices, cut into phases that the pool runs"},
	{"internal/synth", []string{"internal/par", "internal/rng"}, "draws images, and nothing reads them but through files"},
	{"internal", nil, "what is internal is below everything else"},
	{"batch", []string{"internal/hugepage"}, "the bottom: schemas and streams, no image format and no model"},
	{"ingest", []string{"batch", "internal"}, "turns shards into records; who reads them is not its business"},
	{"augment", []string{"batch", "internal"}, "turns records into records"},
	{"encoder", []string{"batch", "internal"}, "networks know no loss, and images only as records"},
	{"contrast/bounds", nil, "bounds are arithmetic on a matrix of scores"},
	{"contrast", []string{"batch", "contrast/bounds", "encoder", "internal"}, "trains an encoder on a stream; sink meets its Recorder without being imported"},
	{"sink", []string{"batch"}, "keeps states and records of whoever made them"},
	{"cmd", []string{"batch", "ingest", "augment", "encoder", "contrast", "sink", "internal"}, "wires the stages together"},
	{"benchmarks", []string{"batch", "ingest", "augment", "encoder", "contrast", "sink", "internal"}, "measures the stages side by side with the peers"},
}

// grpcAllowed are the folders whose packages may link gRPC, with the reason.
var grpcAllowed = map[string]string{
	"sink":         "Arrow v15's Parquet writer takes the form of a schema from arrow/flight",
	"cmd":          "links sink",
	"benchmarks":   "links sink",
	"batch/flight": "is apart for this very reason",
}

// listedPackage is what `go list -json` says of a package.
type listedPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// listPackages returns the packages of this module.
func listPackages(t *testing.T) []listedPackage {
	t.Helper()
	if testing.Short() {
		t.Skip("lists all packages")
	}
	goCommand, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go command, which lists the imports, is not here")
	}
	list := exec.Command(goCommand, "list", "-e", "-json=ImportPath,Imports,Deps", module+"/...")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("%v: %v", list, err)
	}
	var packages []listedPackage
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v: %v", list, err)
		}
		packages = append(packages, p)
	}
	if len(packages) < len(mayImport) {
		t.Fatalf("%v listed %d packages, want at least %d", list, len(packages), len(mayImport))
	}
	return packages
}

// folderOf returns the package's folder in this module, "" for those of others.
func folderOf(importPath string) string {
	folder, ours := strings.CutPrefix(importPath, module+"/")
	if !ours {
		return ""
	}
	return folder
}

// isBelow reports whether a folder is another one or lies in it.
func isBelow(folder, of string) bool { return folder == of || strings.HasPrefix(folder, of+"/") }

func TestImportsPointDown(t *testing.T) {
	for _, p := range listPackages(t) {
		folder := folderOf(p.ImportPath)
		rule := -1
		for i, r := range mayImport {
			if isBelow(folder, r.folder) && (rule < 0 || len(r.folder) > len(mayImport[rule].folder)) {
				rule = i
			}
		}
		if rule < 0 {
			t.Errorf("%s is in none of the folders of mayImport: say there what it may import, and why", p.ImportPath)
			continue
		}
		r := mayImport[rule]
		for _, imported := range p.Imports {
			to := folderOf(imported)
			if to == "" || isBelow(to, r.folder) {
				continue
			}
			if !slices.ContainsFunc(r.may, func(may string) bool { return isBelow(to, may) }) {
				t.Errorf("%s imports %s, want only %v: %s", p.ImportPath, imported, r.may, r.why)
			}
		}
	}
}

func TestGRPCStaysOutside(t *testing.T) {
	const grpc, flight = "google.golang.org/grpc", "arrow/flight"
	for _, p := range listPackages(t) {
		folder := folderOf(p.ImportPath)
		allowed := false
		for f := range grpcAllowed {
			allowed = allowed || isBelow(folder, f)
		}
		if !allowed && slices.Contains(p.Deps, grpc) {
			t.Errorf("%s links %s: want that only in %v", p.ImportPath, grpc, grpcAllowed)
		}
		for _, imported := range p.Imports {
			if strings.HasSuffix(path.Clean(imported), flight) && folder != "batch/flight" {
				t.Errorf("%s imports %s, want that only in batch/flight", p.ImportPath, imported)
			}
		}
	}
}
