// arl-node holds every program of a single-node Kubernetes, and kubectl, in one binary.
//
// The first argument (or the name it is called by) chooses the program; the others are the
// program's own. One binary links the shared packages once: a sixth of the size, and of the
// time it takes to build, of six separate ones.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"

	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

// programs in the order in which a node starts them; kubectl is no daemon and comes last.
var programs = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl",
}

func main() {
	name := filepath.Base(os.Args[0])
	if !slices.Contains(programs, name) {
		if len(os.Args) < 2 || !slices.Contains(programs, os.Args[1]) {
			fmt.Fprintf(os.Stderr, "usage: arl-node {%s} ARGUMENTS...\n", strings.Join(programs, "|"))
			os.Exit(2)
		}
		name = os.Args[1]
		os.Args = os.Args[1:] // the programs find their own name and flags where they expect them
	}
	switch name {
	case "etcd":
		etcdmain.Main(os.Args)
	case "kubectl":
		runKubectl()
	default:
		os.Exit(cli.Run(daemon(name)))
	}
}

func daemon(name string) *cobra.Command {
	switch name {
	case "kube-apiserver":
		return apiserver.NewAPIServerCommand()
	case "kube-controller-manager":
		return controllers.NewControllerManagerCommand()
	case "kube-scheduler":
		return scheduler.NewSchedulerCommand()
	case "kubelet":
		return kubelet.NewKubeletCommand()
	}
	return proxy.NewProxyCommand()
}

// runKubectl is not cli.Run: that one would print errors in the daemons' way and exit 1 always.
func runKubectl() {
	if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
		kubectlutil.CheckErr(err)
	}
}
