// Measures arl against the API server that it runs on: see docs/benchmarks.md. Only the standard
// library, so that nothing has to be fetched.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"
)

func main() {
	os.Exit(run())
}

func run() int {
	kubeconfig := flag.String("kubeconfig", "", "the output of `kubectl config view --raw -o json`")
	crds := flag.String("crds", "crds", "the folder of the kinds")
	operator := flag.Int("operator-pid", 0, "the operator's process; 0: the one in the cluster")
	long := flag.Bool("long", false, "many samples")
	keep := flag.Bool("keep", false, "leave namespace and kinds")
	out := flag.String("json", "", "file for the figures")
	flag.Parse()

	server, conf, err := loadConfig(*kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	dial := func() *conn { return newConn(server, conf) }
	b := &bench{
		sizes:  shortSizes,
		client: dial(),
		server: dial,
		procs:  &processes{operatorPID: *operator},
		report: &report{Checks: map[string]bool{}, Writes: map[string]*tally{}, Started: time.Now().UTC(), Long: *long},
	}
	b.floor = &floor{b: b, op: dial()}
	if *long {
		b.sizes = longSizes
	}
	for _, name := range flag.Args() {
		if !slices.ContainsFunc(phases, func(p phase) bool { return p.name == name }) {
			fmt.Fprintln(os.Stderr, "bench: unknown phase", name)
			return 2
		}
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		b.cleanup()
		os.Exit(130)
	}()
	return b.run(*crds, *out, *keep, flag.Args())
}

// run does the phases; the first one that fails is told and ends the run.
func (b *bench) run(crds, out string, keep bool, wanted []string) int {
	start, busy := time.Now(), readPressure()
	err := b.prepare(crds)
	b.report.check("the namespace, the floor's kinds and the watches are there", first(err))
	for _, p := range phases {
		if err != nil || len(wanted) > 0 && !slices.Contains(wanted, p.name) {
			continue
		}
		if err := p.run(b); err != nil {
			b.report.check("phase "+p.name, first(err))
			break
		}
	}
	if !keep {
		b.cleanup()
	}
	b.report.Seconds = time.Since(start).Seconds()
	b.report.Pressure = readPressure().since(busy)
	b.report.print()
	if out != "" {
		if err := b.report.write(out); err != nil {
			b.report.check("the figures are written to "+out, err.Error())
		}
	}
	fmt.Printf("%d passed, %d failed\n", b.report.passed, b.report.failed)
	if b.report.failed > 0 {
		return 1
	}
	return 0
}
