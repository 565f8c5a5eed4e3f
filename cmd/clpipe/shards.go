package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"
)

// shardsCommand gathers what is done to shards themselves.
func shardsCommand(std stdio, sig *signals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shards",
		Short: "Make, list, check and index shards",
		Example: `  clpipe shards synth -o s3shards
  clpipe shards pack --src photos/ -o 'shards/train-%06d.tar'
  clpipe shards verify --src s3shards/
  clpipe shards index --src s3shards/`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("%s knows no command %q, want pack, ls, verify, index or synth", cmd.CommandPath(), args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(shardsPackCommand(std, sig), shardsListCommand(std, sig), shardsVerifyCommand(std, sig), shardsIndexCommand(std, sig), shardsSynthCommand(std, sig))
	return cmd
}

// printJSON prints a result as one line.
func printJSON(w io.Writer, result any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // nothing of it is HTML
	return enc.Encode(result)
}
