// Measures arl against the API server that it runs on: see docs/benchmarks.md. Only the standard
// library, so that nothing has to be fetched.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	os.Exit(run())
}

type options struct {
	kubeconfig, crds, out  string
	operator               int
	long, keep             bool
	scale                  bool
	pods, profile, symbols string
	claims, rounds, kwok   int
	wanted                 []string
}

func parseOptions() (o options) {
	flag.StringVar(&o.kubeconfig, "kubeconfig", "", "the output of `kubectl config view --raw -o json`")
	flag.StringVar(&o.crds, "crds", "crds", "the folder of the kinds")
	flag.IntVar(&o.operator, "operator-pid", 0, "the operator's process; 0: the one in the cluster")
	flag.BoolVar(&o.long, "long", false, "many samples")
	flag.BoolVar(&o.keep, "keep", false, "leave namespace and kinds")
	flag.StringVar(&o.out, "json", "", "file for the figures")
	flag.BoolVar(&o.scale, "scale", false, "large pools of pods that only seem to run")
	flag.StringVar(&o.pods, "pods", "", "scale: other sizes of the pools")
	flag.IntVar(&o.claims, "claims", 0, "scale: another number of claims at once")
	flag.IntVar(&o.rounds, "rounds", 0, "scale: another number of rounds")
	flag.IntVar(&o.kwok, "kwok-pid", 0, "scale: KWOK's process")
	flag.StringVar(&o.profile, "profile", "", "scale: file for where the operator's CPU time goes")
	flag.StringVar(&o.symbols, "symbols", "", "scale: the operator's program with the names of its functions")
	flag.Parse()
	o.wanted = flag.Args()
	return o
}

// runner is a benchmark.
type runner interface {
	prepare(crds string) error
	doPhases(wanted []string) // the first one that fails is told and ends the run
	cleanup()
}

func run() int {
	o := parseOptions()
	server, conf, err := loadConfig(o.kubeconfig)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	rep := &report{Checks: map[string]bool{}, Writes: map[string]*tally{}, Started: time.Now().UTC(), Long: o.long}
	b := newBench("arl-bench", server, conf, rep, o)
	var r runner = b
	known := phaseNames()
	if o.scale {
		other := newBench("arl-bench-b", server, conf, rep, o)
		if r, err = newScale(b, other, o); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return 2
		}
		known = scalePhases
	}
	for _, name := range o.wanted {
		if !slices.Contains(known, name) {
			fmt.Fprintf(os.Stderr, "bench: unknown phase %s: one of %s\n", name, join(known))
			return 2
		}
	}
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-interrupted
		r.cleanup()
		os.Exit(130)
	}()
	return rep.of(r, o)
}

func newBench(namespace, server string, conf *tls.Config, rep *report, o options) *bench {
	dial := func() *conn { return newConn(server, conf) }
	b := &bench{
		namespace: namespace,
		limit:     3 * time.Minute,
		sizes:     shortSizes,
		client:    dial(),
		server:    dial,
		procs:     &processes{operatorPID: o.operator},
		bound:     map[string]string{},
		report:    rep,
	}
	b.floor = &floor{b: b, op: dial()}
	if o.long {
		b.sizes = longSizes
	}
	return b
}

func newScale(b, other *bench, o options) (*scale, error) {
	s := &scale{b: b, other: other, sizes: scaleShort, kwok: o.kwok, profile: o.profile, symbols: o.symbols}
	if o.long {
		s.sizes = scaleLong
	}
	if o.pods != "" {
		s.sizes.pods = nil
		for word := range strings.FieldsSeq(o.pods) {
			n, err := strconv.Atoi(word)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("--pods: %q is no number of pods", word)
			}
			s.sizes.pods = append(s.sizes.pods, n)
		}
	}
	if o.claims > 0 {
		s.sizes.claims = o.claims
	}
	if o.rounds > 0 {
		s.sizes.rounds = o.rounds
	}
	for _, one := range []*bench{b, other} {
		one.fake = true
		one.limit = 15 * time.Minute
	}
	return s, nil
}

// of runs a benchmark, and returns the exit status.
func (r *report) of(it runner, o options) int {
	start, busy := time.Now(), readPressure()
	err := it.prepare(o.crds)
	r.check("the namespace, the floor's kinds and the watches are there", first(err))
	if err == nil {
		it.doPhases(o.wanted)
	}
	if !o.keep {
		it.cleanup()
	}
	r.Seconds = time.Since(start).Seconds()
	r.Pressure = readPressure().since(busy)
	r.print()
	if o.out != "" {
		if err := r.write(o.out); err != nil {
			r.check("the figures are written to "+o.out, err.Error())
		}
	}
	fmt.Printf("%d passed, %d failed\n", r.passed, r.failed)
	if r.failed > 0 {
		return 1
	}
	return 0
}
