package voc

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The folders of a data set, and the endings of its files.
const (
	annotationsFolder = "Annotations"
	imagesFolder      = "JPEGImages"
	setsFolder        = "ImageSets/Main"
	annotationEnding  = ".xml"
	setEnding         = ".txt"
)

// maxSetBytes bounds what is read of a list: some million names.
const maxSetBytes = 64 << 20

// NoSetError says that there is no set of a name. The set "" there always is.
type NoSetError struct{ text string }

func (e *NoSetError) Error() string { return e.text }

func annotationPath(dir, name string) string {
	return filepath.Join(dir, annotationsFolder, filepath.FromSlash(name)+annotationEnding)
}

// readSet returns the names of a set.
func readSet(dir, set string) ([]string, error) {
	annotations := filepath.Join(dir, annotationsFolder)
	if info, err := os.Stat(annotations); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("%s is not a data set in PASCAL VOC's form: it holds no folder %s; want one beside %s and %s", dir, annotationsFolder, imagesFolder, setsFolder)
	}
	if set == "" {
		names, err := stems(annotations, annotationEnding)
		if err == nil && len(names) == 0 {
			err = fmt.Errorf("%s holds no %s file, want one for each image", annotations, annotationEnding)
		}
		return names, err
	}
	lists := filepath.Join(dir, filepath.FromSlash(setsFolder))
	path := filepath.Join(lists, set+setEnding)
	file, err := openBelow(lists, set+setEnding)
	if errors.Is(err, fs.ErrNotExist) {
		known, _ := stems(lists, setEnding)
		if len(known) == 0 {
			return nil, &NoSetError{fmt.Sprintf("there is no set %q: %s holds no lists", set, lists)}
		}
		return nil, &NoSetError{fmt.Sprintf("there is no set %q in %s, want %s", set, lists, anyOf(known))}
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil {
		return nil, err
	} else if info.Size() > maxSetBytes {
		return nil, fmt.Errorf("%s is %d bytes long, want at most %d: it is not a list of names", path, info.Size(), maxSetBytes)
	}

	var names []string
	lineOf := map[string]int{}
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		name := nameIn(dir, lines.Text())
		if name == "" {
			continue
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return nil, fmt.Errorf("%s:%d: %q leads out of %s, want the name of an annotation without its ending, as 000005", path, n, name, annotationsFolder)
		}
		if first, ok := lineOf[name]; ok {
			return nil, fmt.Errorf("%s:%d: %q stands in line %d already, and would count twice: remove one", path, n, name, first)
		}
		lineOf[name] = n
		names = append(names, name)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: line %d: %w: want a name a line", path, len(names)+1, err)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s names no image, want a name a line", path)
	}
	return names, nil
}

// openBelow opens a file in a folder. There is none whose name leads out of it.
func openBelow(folder, name string) (*os.File, error) {
	if !filepath.IsLocal(name) {
		return nil, fs.ErrNotExist
	}
	return os.Open(filepath.Join(folder, name))
}

// nameIn returns the name in a line of a list, "" if it holds none. The lists of
// a class have a second column, and names of files may have spaces in them: a line
// is one name where there is such an annotation.
func nameIn(dir, line string) string {
	line = strings.TrimSpace(strings.TrimPrefix(line, "\ufeff")) // Windows marks the beginning of a text
	columns := strings.Fields(line)
	if len(columns) <= 1 {
		return line
	}
	if _, err := os.Stat(annotationPath(dir, line)); err == nil {
		return line
	}
	return columns[0]
}

// stems returns the sorted names, without their ending, of the files in a folder
// that have it.
func stems(folder, ending string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ending)
		// What begins with a dot is another program's, as macOS's ._000005.xml.
		if ok && !e.IsDir() && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// anyOf lists names, not more of them than can be read.
func anyOf(names []string) string {
	const most = 12
	if n := len(names); n > most {
		names = append(slices.Clone(names[:most]), fmt.Sprintf("one of %d more", n-most))
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " or " + names[len(names)-1]
}

// imageEndings are looked for in this order, in small letters and capitals.
var imageEndings = []string{".jpg", ".jpeg", ".png", ".webp"}

// findImage returns the path of an image. The name of the annotation decides:
// <filename> is often that of the file before it was renamed.
func findImage(dir, name, filename string) (string, error) {
	folder := filepath.Join(dir, imagesFolder)
	if path, ok := firstFile(folder, name, imageEndings); ok {
		return path, nil
	}
	// Some tools write the whole path, as of the machine they ran on.
	filename = filename[strings.LastIndexAny(filename, `/\`)+1:]
	also := ""
	if filename != "" && filepath.IsLocal(filename) {
		if path, ok := firstFile(folder, filename, append([]string{""}, imageEndings...)); ok {
			return path, nil
		}
		also = fmt.Sprintf(", nor is the <filename> %q there", filename)
	}
	return "", fmt.Errorf("there is no image %s with the ending %s%s", filepath.Join(folder, filepath.FromSlash(name)), anyOf(imageEndings), also)
}

// firstFile returns the first file there is of a name with one of the endings.
func firstFile(folder, name string, endings []string) (path string, ok bool) {
	for _, ending := range endings {
		for _, e := range []string{ending, strings.ToUpper(ending)} {
			path := filepath.Join(folder, filepath.FromSlash(name)+e)
			if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
				return path, true
			}
		}
	}
	return "", false
}
