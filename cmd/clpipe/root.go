package main

import (
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// programGroup are the commands about the program itself.
const programGroup = "This program"

// rootCommand is `clpipe` with all its commands. Called with --src it is the
// main job, as `clpipe train --src`.
func rootCommand(std stdio, sig *signals) *cobra.Command {
	root := trainCommand(std, sig)
	root.Use = "clpipe --src URL"
	root.Short = "Contrastive self-supervised learning: from image shards to a trained encoder"
	root.Long = `clpipe reads image shards, makes two augmented views of every image, and trains
an encoder to tell each pair from thousands of negatives. No labels, no Python.

Called with --src it does the main job: all stages in one process, from shards
to a run directory with checkpoints and metrics.`
	root.Example = `  clpipe demo
  clpipe --src s3shards/ --epochs 20 --run runs/first
  clpipe --run runs/first --src s3shards/ --epochs 20 --resume
  clpipe ingest --src s3shards/ --epochs 0 | clpipe augment | clpipe train --steps 500`
	root.Version = version()
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(flagError)
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		if err := applyConfig(cmd.Flags()); err != nil {
			return err
		}
		return needLocal(cmd.Flags())
	}
	root.SetUsageFunc(writeUsage)
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Training", []*cobra.Command{trainCommand(std, sig), planCommand(std, sig), compareCommand(std, sig), demoCommand(std, sig)}},
		{"What was learned", []*cobra.Command{probeCommand(std, sig), detectCommand(std, sig), embedCommand(std, sig), exportCommand(std, sig), reportCommand(std, sig)}},
		{"Images and pairs", []*cobra.Command{shardsCommand(std, sig), viewCommand(std, sig), ingestCommand(std, sig), augmentCommand(std, sig), serveCommand(std, sig)}},
		{"Streams", []*cobra.Command{catCommand(std, sig), headCommand(std, sig), schemaCommand(std, sig)}},
		{programGroup, []*cobra.Command{doctorCommand(std, sig), benchCommand(std, sig)}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, cmd := range group.commands {
			cmd.GroupID = group.title
			root.AddCommand(cmd)
		}
	}
	root.SetHelpCommandGroupID(programGroup)
	root.SetCompletionCommandGroupID(programGroup)
	refuseHelpOfNone(root)
	return root
}

// refuseHelpOfNone makes `clpipe help NAME` fail where no command has the name:
// cobra would show the help of clpipe itself.
func refuseHelpOfNone(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "help" {
			continue
		}
		cmd.Args = func(_ *cobra.Command, names []string) error {
			of, rest, err := root.Find(names)
			if err == nil && len(rest) > 0 {
				err = noCommand(of, rest[0])
			}
			return err
		}
	}
}

// version is the module's version as the build recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// typed reports whether a flag was given on the command line itself.
func typed(fs *pflag.FlagSet, name string) bool {
	return changed(fs, name) && fs.Lookup(name).Annotations[fromFile] == nil
}

// changed reports whether a flag was given, on the command line or in --config.
func changed(fs *pflag.FlagSet, name string) bool {
	f := fs.Lookup(name)
	return f != nil && f.Changed
}
