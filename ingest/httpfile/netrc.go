package httpfile

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// maxNetrc bounds the file that is read, bytes.
const maxNetrc = 1 << 20

// netrc holds what a .netrc file says: who one is on which host. The format is
// that of ftp(1) and curl(1): words, of which "machine", "default", "login",
// "password", "account" and "macdef" mean something.
type netrc struct {
	hosts map[string]login
	other *login // of hosts that are not named
}

type login struct{ user, password string }

// readNetrc reads the file of NETRC, or .netrc in the home directory, on Windows
// _netrc there. A file that cannot be read says nothing.
func readNetrc() netrc {
	path := os.Getenv("NETRC")
	if path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return netrc{}
		}
		name := ".netrc"
		if runtime.GOOS == "windows" {
			name = "_netrc"
		}
		path = filepath.Join(home, name)
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxNetrc {
		return netrc{}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return netrc{}
	}
	return parseNetrc(string(text))
}

// parseNetrc reads the words of a file. The first entry of a host counts.
func parseNetrc(text string) netrc {
	n := netrc{hosts: map[string]login{}}
	host, begun := "", false // host "" is the default
	var who login
	end := func() {
		switch _, known := n.hosts[host]; {
		case begun && host == "" && n.other == nil:
			other := who
			n.other = &other
		case begun && host != "" && !known:
			n.hosts[host] = who
		}
		who = login{}
	}
	words := netrcWords(text)
	for i := 0; i < len(words); i++ {
		next := func() (word string) {
			if i++; i < len(words) {
				word = words[i]
			}
			return word
		}
		switch words[i] {
		case "machine":
			end()
			host, begun = strings.ToLower(next()), true
		case "default":
			end()
			host, begun = "", true
		case "login":
			who.user = next()
		case "password":
			who.password = next()
		case "account":
			next()
		}
	}
	end()
	return n
}

// netrcWords returns the words of a file without comments and macros, which go
// on up to an empty line. A word may stand in double quotes.
func netrcWords(text string) []string {
	var words []string
	macro := false
	for line := range strings.Lines(text) {
		if macro {
			macro = strings.TrimSpace(line) != ""
			continue
		}
		for rest := strings.TrimSpace(line); rest != "" && rest[0] != '#'; rest = strings.TrimSpace(rest) {
			var word string
			if rest[0] == '"' {
				word, rest = quotedWord(rest[1:])
			} else {
				at := strings.IndexAny(rest, " \t\r\n\v\f")
				if at < 0 {
					at = len(rest)
				}
				word, rest = rest[:at], rest[at:]
			}
			if macro = word == "macdef"; macro {
				break
			}
			words = append(words, word)
		}
	}
	return words
}

// quotedWord returns a word up to its closing quote, in which a backslash stands
// before what would mean something else.
func quotedWord(text string) (word, rest string) {
	var out strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return out.String(), text[i+1:]
		case c == '\\' && i+1 < len(text):
			i++
			out.WriteByte(text[i])
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), ""
}

// of returns who one is on a host.
func (n netrc) of(host string) (login, bool) {
	if who, ok := n.hosts[strings.ToLower(host)]; ok {
		return who, true
	}
	if n.other != nil {
		return *n.other, true
	}
	return login{}, false
}
