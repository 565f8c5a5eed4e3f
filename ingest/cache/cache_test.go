package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clpipe/ingest/remote"
	"clpipe/ingest/shard"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server hands out a file and counts what it is asked for.
type server struct {
	file     []byte
	version  string
	requests atomic.Int64
	sent     atomic.Int64 // bytes read from it
}

func newServer(size int) *server {
	s := &server{file: make([]byte, size), version: `"1"`}
	rand.NewChaCha8([32]byte{}).Read(s.file)
	return s
}

func (s *server) object() *remote.Object {
	return &remote.Object{
		Link: &remote.Link{}, Where: "s3://bucket/x.tar", Below: "x.tar", Bytes: int64(len(s.file)), Version: s.version, Ranges: true,
		Get: func(_ context.Context, r remote.Request) (*remote.Response, error) {
			s.requests.Add(1)
			to := r.To + 1
			if r.To < 0 {
				to = int64(len(s.file))
			}
			body := io.TeeReader(bytes.NewReader(s.file[r.From:to]), counter{&s.sent})
			return &remote.Response{Body: io.NopCloser(body), From: r.From, Size: int64(len(s.file)), Version: s.version}, nil
		},
	}
}

type counter struct{ n *atomic.Int64 }

func (c counter) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

// opened returns a cache with room for so many blocks, and what it logs.
func opened(t *testing.T, dir string, blocks int) (*Cache, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	c, err := Open(dir, int64(blocks)*MinBytes, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return c, &log
}

// check reads the whole object in pieces of odd length.
func check(t *testing.T, obj shard.Object, want []byte) {
	t.Helper()
	src, err := shard.OpenStream(t.Context(), obj)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	got := make([]byte, 0, len(want))
	for piece := make([]byte, 77_777); ; {
		n, err := src.Read(piece)
		got = append(got, piece[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("at byte %d: %v", len(got), err)
		}
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("got %d bytes, not the %d of the file", len(got), len(want))
	}
}

// disk returns the bytes of all blocks, and checks that the books agree.
func disk(t *testing.T, c *Cache) int64 {
	t.Helper()
	u, err := c.Usage()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(c.dir, usageFile))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(text)); got != fmt.Sprint(u.Bytes) && (got != "" || u.Bytes > 0) {
		t.Errorf("the usage file says %s, the blocks have %d bytes", got, u.Bytes)
	}
	return u.Bytes
}

func TestSecondReadingAsksForNothing(t *testing.T) {
	for _, size := range []int{1, sumBytes, blockBytes, 2*blockBytes + 3*sumBytes + 17} {
		s := newServer(size)
		dir := filepath.Join(t.TempDir(), "new", "folder")
		c, log := opened(t, dir, 4)
		c.Expect(int64(size))
		check(t, c.Wrap(s.object()), s.file)
		if s.requests.Load() != 1 {
			t.Errorf("%d bytes: %d requests, want one for blocks that follow each other", size, s.requests.Load())
		}
		again, _ := opened(t, dir, 4) // another run
		for _, kept := range []*Cache{c, again} {
			check(t, kept.Wrap(s.object()), s.file)
		}
		if s.requests.Load() != 1 || log.Len() > 0 {
			t.Errorf("%d bytes: %d requests after reading again, want 1; log %s", size, s.requests.Load(), log)
		}
		disk(t, c)
	}
}

// TestAnyPart reads parts and streams that begin anywhere, by several readers
// and two caches of one folder, where all has room and where not.
func TestAnyPart(t *testing.T) {
	s := newServer(5*blockBytes + 12345)
	for _, room := range []int{6, 2} {
		dir := t.TempDir()
		var readers sync.WaitGroup
		for i := range 4 {
			c, _ := opened(t, dir, room)
			c.Expect(int64(len(s.file)))
			obj := c.Wrap(s.object())
			readers.Go(func() {
				draws := rand.New(rand.NewPCG(uint64(i), 1))
				for range 40 {
					from := draws.Int64N(int64(len(s.file)))
					to := min(from+1+draws.Int64N(3*blockBytes/2), int64(len(s.file)))
					got := make([]byte, to-from)
					if draws.IntN(4) == 0 {
						src, err := obj.Open(t.Context(), from)
						if err == nil {
							_, err = io.ReadFull(src, got)
							src.Close()
						}
						if err != nil {
							t.Error(err)
							return
						}
					} else if err := shard.ReadRange(t.Context(), obj, got, from); err != nil {
						t.Error(err)
						return
					}
					if !bytes.Equal(got, s.file[from:to]) {
						t.Errorf("bytes %d to %d are others", from, to)
						return
					}
				}
			})
		}
		readers.Wait()
		c, _ := opened(t, dir, room)
		if used := disk(t, c); used > c.limit {
			t.Errorf("%d bytes are kept, the limit is %d", used, c.limit)
		}
	}
}

func TestPartsFetchTheirBlockOnce(t *testing.T) {
	s := newServer(3 * blockBytes)
	c, _ := opened(t, t.TempDir(), 3)
	c.Expect(int64(len(s.file)))
	obj := c.Wrap(s.object())
	var readers sync.WaitGroup
	for i := range int64(16) {
		readers.Go(func() {
			got := make([]byte, 1000)
			if err := shard.ReadRange(t.Context(), obj, got, i*50_000); err != nil || !bytes.Equal(got, s.file[i*50_000:][:1000]) {
				t.Errorf("part %d: %v, or other bytes", i, err)
			}
		})
	}
	readers.Wait()
	if s.requests.Load() != 1 || s.sent.Load() != blockBytes {
		t.Errorf("%d requests for %d bytes, want one for a block", s.requests.Load(), s.sent.Load())
	}
}

// TestPartsOfFilesThatDoNotFit reads a part of each block, again and again: of those
// that have room all is fetched and stays, of others the part alone.
func TestPartsOfFilesThatDoNotFit(t *testing.T) {
	s := newServer(5 * blockBytes)
	c, log := opened(t, t.TempDir(), 2)
	c.Expect(int64(len(s.file)))
	obj := c.Wrap(s.object())
	for epoch, want := range []int64{
		3*blockBytes + 3*1000, // the third block has come when it shows that there is no room
		3 * 1000,
	} {
		s.sent.Store(0)
		for block := range int64(5) {
			got, at := make([]byte, 1000), block*blockBytes+5000*int64(epoch+1)
			if err := shard.ReadRange(t.Context(), obj, got, at); err != nil || !bytes.Equal(got, s.file[at:][:1000]) {
				t.Fatalf("block %d: %v, or other bytes", block, err)
			}
		}
		if s.sent.Load() != want {
			t.Errorf("epoch %d: %d bytes were fetched, want %d", epoch, s.sent.Load(), want)
		}
	}
	if !strings.Contains(log.String(), "room for 8.0 MiB of the 20 MiB that are read") {
		t.Errorf("logged %s", log)
	}
}

// TestFilesThatDoNotFit reads more than there is room for, again and again: what
// is kept is found in every epoch.
func TestFilesThatDoNotFit(t *testing.T) {
	s := newServer(5 * blockBytes)
	c, log := opened(t, t.TempDir(), 2)
	c.Expect(int64(len(s.file)))
	obj := c.Wrap(s.object())
	for epoch := range 3 {
		s.sent.Store(0)
		check(t, obj, s.file)
		want := int64(3 * blockBytes)
		if epoch == 0 {
			want = 5 * blockBytes
		}
		if s.sent.Load() != want {
			t.Errorf("epoch %d: %d bytes were fetched, want %d", epoch, s.sent.Load(), want)
		}
		if used := disk(t, c); used > c.limit {
			t.Errorf("%d bytes are kept, the limit is %d", used, c.limit)
		}
	}
	if strings.Contains(log.String(), "WARN") {
		t.Errorf("logged %s", log)
	}
}

func TestLongestUnusedGoesFirst(t *testing.T) {
	dir := t.TempDir()
	c, _ := opened(t, dir, 4)
	c.Expect(0)
	now := time.Now().Add(-24 * time.Hour)
	c.now = func() time.Time { return now }
	var files []*server
	for i := range 5 {
		s := newServer(blockBytes)
		s.version = fmt.Sprintf(`"%d"`, i)
		files = append(files, s)
		if i == 4 { // the first has been used again, so that the second goes
			now = now.Add(time.Hour)
			check(t, c.Wrap(files[0].object()), files[0].file)
		}
		check(t, c.Wrap(s.object()), s.file)
		path := c.path(key(s.object().Where, s.version, blockBytes), 0)
		now = now.Add(time.Hour)
		if err := os.Chtimes(path, now, now); err != nil {
			t.Fatal(err)
		}
	}
	for i, s := range files {
		s.requests.Store(0)
		_, err := os.Stat(c.path(key(s.object().Where, s.version, blockBytes), 0))
		if gone := errors.Is(err, fs.ErrNotExist); gone != (i == 1) {
			t.Errorf("block of file %d: gone %v", i, gone)
		}
	}
	if used := disk(t, c); used > c.limit {
		t.Errorf("%d bytes are kept, the limit is %d", used, c.limit)
	}
}

func TestDamagedBlocksAreFetchedAnew(t *testing.T) {
	s := newServer(blockBytes + 3*sumBytes)
	last := 3*sumBytes + 3*sumSize + trailerSize // bytes of the last block's file
	damages := map[string]func(path string) error{
		"a byte of the data":   func(path string) error { return flip(path, sumBytes+1) },
		"a byte of the sums":   func(path string) error { return flip(path, int64(last)-trailerSize-2) },
		"a byte of the length": func(path string) error { return flip(path, int64(last)-7) },
		"the mark":             func(path string) error { return flip(path, int64(last)-16) },
		"cut":                  func(path string) error { return os.Truncate(path, int64(last)-1) },
		"cut within the data":  func(path string) error { return os.Truncate(path, 100) },
		"empty":                func(path string) error { return os.Truncate(path, 0) },
		"longer":               func(path string) error { return os.Truncate(path, int64(last)+1) },
	}
	for name, damage := range damages {
		c, log := opened(t, t.TempDir(), 3)
		obj := c.Wrap(s.object())
		check(t, obj, s.file)
		if err := damage(c.path(key(s.object().Where, s.version, int64(len(s.file))), 1)); err != nil {
			t.Fatal(err)
		}
		s.requests.Store(0)
		for range 2 {
			check(t, obj, s.file)
		}
		if s.requests.Load() > 1 || s.requests.Load() == 0 && name != "longer" {
			t.Errorf("%s: %d requests, want one for the block", name, s.requests.Load())
		}
		if warned := strings.Count(log.String(), "is fetched again"); warned > 1 || warned == 0 && name != "longer" || strings.Contains(log.String(), "ERROR") {
			t.Errorf("%s: logged %s", name, log)
		}
	}
}

func flip(path string, at int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= 4
	_, err = f.WriteAt(b[:], at)
	return err
}

func TestAnotherVersionHasOtherBlocks(t *testing.T) {
	s := newServer(1000)
	c, log := opened(t, t.TempDir(), 3)
	check(t, c.Wrap(s.object()), s.file)
	s.file[0]++
	s.version = `"2"`
	check(t, c.Wrap(s.object()), s.file)
	for _, change := range []func(o *remote.Object){func(o *remote.Object) { o.Version = "" }, func(o *remote.Object) { o.Bytes = -1 }} {
		o := s.object()
		change(o)
		if c.Wrap(o) != shard.Object(o) {
			t.Errorf("a file of version %q and %d bytes is kept", o.Version, o.Bytes)
		}
	}
	if n := strings.Count(log.String(), "not kept"); n != 1 {
		t.Errorf("the log says %d times that files are not kept, want once: %s", n, log)
	}
}

func TestFoldersOfOthers(t *testing.T) {
	for name, body := range map[string]string{"photo.jpg": "x", tagFile: "Signature: 8a477f597d28d172789f06886806bc55\n# of another program\n"} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Open(dir, MinBytes, slog.New(slog.DiscardHandler))
		if wrong := (*DirError)(nil); !errors.As(err, &wrong) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v, want a *DirError that names it", name, err)
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Errorf("%s: the folder holds %v, %v, want what it held", name, entries, err)
		}
	}
}

// TestWhatIsNotOursStays puts files into a cache after it was made and fills it
// over and over.
func TestWhatIsNotOursStays(t *testing.T) {
	dir := t.TempDir()
	c, _ := opened(t, dir, 1)
	c.Expect(0)
	hash := strings.Repeat("ab", 32)
	others := []string{"note.txt", "ab/note.txt", "ab/" + hash + "-000000.block.bak", "ab/x.tmp-1a", "cd/" + hash + "-000000.block", "sub/" + hash + "-000000.block"}
	for _, name := range others {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), 0o666); err != nil {
			t.Fatal(err)
		}
		old := time.Now().Add(-1000 * time.Hour)
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	stale := filepath.Join(dir, "ab", "x.tmp-17-42")
	if err := os.WriteFile(stale, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * staleAfter)
	if err := os.Chtimes(stale, old, old); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		s := newServer(blockBytes)
		s.version = fmt.Sprint(i)
		check(t, c.Wrap(s.object()), s.file)
		disk(t, c)
	}
	for _, name := range others {
		if got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))); string(got) != name {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a dead process left is there still: %v", err)
	}
}

func TestFolderThatCannotBeWritten(t *testing.T) {
	s := newServer(3 * blockBytes)
	c, log := opened(t, t.TempDir(), 9)
	k := key(s.object().Where, s.version, int64(len(s.file)))
	if err := os.WriteFile(filepath.Join(c.dir, k[:2]), nil, 0o666); err != nil { // where the blocks' folder should be
		t.Fatal(err)
	}
	for range 2 {
		check(t, c.Wrap(s.object()), s.file)
	}
	if s.requests.Load() != 2 || strings.Count(log.String(), "going on without keeping more") != 1 {
		t.Errorf("%d requests, want one a reading; logged %s", s.requests.Load(), log)
	}
	if used := disk(t, c); used != 0 {
		t.Errorf("%d bytes are kept", used)
	}
}

func TestDamagedUsage(t *testing.T) {
	s := newServer(blockBytes)
	c, _ := opened(t, t.TempDir(), 2)
	c.Expect(0)
	for i, text := range []string{"", "x", "-1", "                   7\n", strings.Repeat("9", 40)} {
		if err := os.WriteFile(filepath.Join(c.dir, usageFile), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		s.version = fmt.Sprint(i)
		check(t, c.Wrap(s.object()), s.file)
		u, err := c.Usage()
		if err != nil || u.Bytes > c.limit+MinBytes || u.Blocks == 0 {
			t.Errorf("%q: %+v, %v, limit %d", text, u, err, c.limit)
		}
	}
}
