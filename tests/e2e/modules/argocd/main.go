// The parts of Argo CD that a fleet is delivered by, in one program as in its own cmd/main.go, without the API server,
// the command line and what notifies, which take many times as long to build. And a Redis in memory for them: all that
// they keep there is a cache.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/alicebob/miniredis/v2"
	"github.com/spf13/cobra"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	applicationset "github.com/argoproj/argo-cd/v3/cmd/argocd-applicationset-controller/commands"
	cmpserver "github.com/argoproj/argo-cd/v3/cmd/argocd-cmp-server/commands"
	gitaskpass "github.com/argoproj/argo-cd/v3/cmd/argocd-git-ask-pass/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
)

var programs = map[string]func() *cobra.Command{
	"argocd-application-controller":    controller.NewCommand,
	"argocd-applicationset-controller": applicationset.NewCommand,
	"argocd-cmp-server":                cmpserver.NewCommand,
	"argocd-git-ask-pass":              gitaskpass.NewCommand,
	"argocd-repo-server":               reposerver.NewCommand,
	"redis":                            redis,
}

func main() {
	name := filepath.Base(os.Args[0])
	if of := os.Getenv("ARGOCD_BINARY_NAME"); of != "" {
		name = of
	}
	program, known := programs[name]
	if !known {
		fmt.Fprintf(os.Stderr, "%s: none of Argo CD's programs here\n", name)
		os.Exit(2)
	}
	if program().Execute() != nil {
		os.Exit(1)
	}
}

// redis answers at the address that is its one argument, until it is told to end.
func redis() *cobra.Command {
	return &cobra.Command{
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, arguments []string) error {
			server := miniredis.NewMiniRedis()
			if err := server.StartAddr(arguments[0]); err != nil {
				return err
			}
			defer server.Close()
			told := make(chan os.Signal, 1)
			signal.Notify(told, syscall.SIGINT, syscall.SIGTERM)
			<-told
			return nil
		},
	}
}
