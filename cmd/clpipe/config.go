package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"clpipe/ingest/remote"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
	yamlv3 "gopkg.in/yaml.v3"
)

// notInFile are flags that make no sense in a file of options, notRecorded those
// that are about this invocation, not about the run.
var (
	notInFile   = []string{"config", "help", "version"}
	notRecorded = append([]string{"run", "resume", "json", "quiet", "log-level", "budget", "listen", policySum, indexSum}, notInFile...)
)

// notResult are recorded settings that change no weight: a resumed run may have
// others. Of a preset the settings it stands for are compared.
var notResult = []string{
	"preset", "workers", "mem", "log-every", "checkpoint-every", "keep", "stall-timeout", "val", "val-train", "eval-every", "from", "in",
	"max-rejects", "compress", "no-sign-request", "cache", "cache-size",
}

// fromFile annotates flags that a --config file has set.
const fromFile = "clpipe-config"

// applyConfig sets the flags that the command line leaves open from the YAML
// file that --config names, if the command has it. Keys are the flags' names.
func applyConfig(fs *pflag.FlagSet) error {
	config := fs.Lookup("config")
	if config == nil || config.Value.String() == "" {
		return nil
	}
	path := config.Value.String()
	_, _, launched := launched(os.Getenv)
	k := koanf.New("\x00") // keys are flat: no delimiter
	if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
		return usagef("--config %s: %w", path, err)
	}
	var wrong []error
	for _, key := range k.Keys() {
		f := fs.Lookup(key)
		if f == nil || slices.Contains(notInFile, key) {
			wrong = append(wrong, fmt.Errorf("--config %s: %q is not an option of this command%s", path, key, didYouMean("", key, optionNames(fs))))
			continue
		}
		if f.Changed || launched && (key == "rank" || key == "world") {
			continue // the command line wins, and who numbers the processes
		}
		value := k.Get(key)
		list, isList := value.([]any)
		if !isList {
			list = []any{value}
		}
		for _, v := range list {
			if v == nil {
				wrong = append(wrong, fmt.Errorf("--config %s: %s has no value", path, key))
				continue
			}
			if err := fs.Set(key, fmt.Sprint(v)); err != nil {
				wrong = append(wrong, fmt.Errorf("--config %s: %w", path, valueError(err)))
			}
		}
		if err := fs.SetAnnotation(key, fromFile, []string{path}); err != nil {
			wrong = append(wrong, err)
		}
	}
	if err := errors.Join(wrong...); err != nil {
		return usageError{err}
	}
	return nil
}

// needLocal refuses addresses where a command writes: each would become a folder
// named "s3:" on this machine.
func needLocal(fs *pflag.FlagSet) error {
	for name, said := range map[string]string{"output": "-o", "run": "--run", "cache": "--cache"} {
		if f := fs.Lookup(name); f != nil && strings.Contains(f.Value.String(), "://") {
			return usagef("%s is %q, want a local file or folder: copy it to its place with the store's own tools", said, remote.Redact(f.Value.String()))
		}
	}
	return nil
}

// resolvedConfig returns the flags and their values as a YAML mapping: what was
// given and is not the default, and the rest as the run resolved it, by flag name.
func resolvedConfig(fs *pflag.FlagSet, resolved map[string]any) ([]byte, error) {
	all := map[string]any{}
	fs.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(notRecorded, f.Name) && f.Changed && f.Value.String() != f.DefValue {
			all[f.Name] = flagValue(f)
		}
	})
	for k, v := range resolved {
		all[k] = v
	}
	return yamlv3.Marshal(all)
}

func flagValue(f *pflag.Flag) any {
	if list, ok := f.Value.(pflag.SliceValue); ok {
		out := list.GetSlice()
		for i := range out {
			out[i] = remote.Redact(out[i])
		}
		return out
	}
	return remote.Redact(f.Value.String())
}
