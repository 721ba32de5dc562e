// Argo CD's argocd-cmp-server alone: the sidecar that runs a config-management plugin. Its own cmd/main.go is this,
// and every other command of Argo CD, which takes many times as long to build.
package main

import (
	"os"

	"github.com/argoproj/argo-cd/v3/cmd/argocd-cmp-server/commands"
)

func main() {
	if commands.NewCommand().Execute() != nil {
		os.Exit(1)
	}
}
