package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

// sizes are how many samples a run takes.
type sizes struct {
	claimRounds, claimsARound int
	rounds20, rounds50        int
	taskRounds, tasksARound   int
	rateRounds                int
	memoryPods                int
	idle                      time.Duration
}

var (
	shortSizes = sizes{
		claimRounds: 4, claimsARound: 5, rounds20: 1, rounds50: 0, taskRounds: 3, tasksARound: 10, rateRounds: 1,
		memoryPods: 20, idle: 10 * time.Second,
	}
	longSizes = sizes{
		claimRounds: 12, claimsARound: 5, rounds20: 3, rounds50: 2, taskRounds: 6, tasksARound: 20, rateRounds: 4,
		memoryPods: 50, idle: 30 * time.Second,
	}
)

// A phase takes samples of arl and of the floor in turns; every other round begins with the other one. So
// changes on the machine during a phase affect both.
type phase struct {
	name string
	run  func(b *bench) error
}

var phases = []phase{
	{"claim", (*bench).phaseClaim},
	{"burst20", func(b *bench) error { return b.phaseBurst(20, b.sizes.rounds20) }},
	{"task", (*bench).phaseTask},
	{"rate", (*bench).phaseRate},
	{"memory", (*bench).phaseMemory},
	{"idle", (*bench).phaseIdle},
	{"burst50", func(b *bench) error { return b.phaseBurst(50, b.sizes.rounds50) }},
}

func phaseNames() (names []string) {
	for _, p := range phases {
		names = append(names, p.name)
	}
	return names
}

func (b *bench) doPhases(wanted []string) {
	for _, p := range phases {
		if len(wanted) > 0 && !slices.Contains(wanted, p.name) {
			continue
		}
		if err := p.run(b); err != nil {
			b.report.check("phase "+p.name, first(err))
			return
		}
	}
}

// inTurns calls ours and floors, n times each, the other one first when odd.
func inTurns(odd bool, n int, ours, floors func(i int) error) error {
	for i := range n {
		first, second := ours, floors
		if odd {
			first, second = floors, ours
		}
		if err := first(i); err != nil {
			return err
		}
		if err := second(i); err != nil {
			return err
		}
	}
	return nil
}

// claimSet is a set of sandboxes of one side, to be deleted together.
type claimSet struct {
	names []string
	pods  []*object
	times []time.Duration
}

func (b *bench) newNames(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = b.name(prefix)
	}
	return names
}

// refillFloor deletes what was claimed, and makes the pods that replace it as late as arl's operator does after a burst.
func (b *bench) refillFloor(s claimSet, last time.Time) error {
	if err := b.floor.drop(s.names, s.pods); err != nil {
		return err
	}
	time.Sleep(time.Until(last.Add(refillHold)))
	return b.floor.fill(len(s.names))
}

// countClaims checks the writes of n claims and their refills, which must be exact.
func (b *bench) countClaims(what string, before account, n int) error {
	after, err := b.account()
	if err != nil {
		return err
	}
	all := after.since(before)
	writes := all.operatorWrites()
	want := counts{"PATCH /pods": n, "PATCH " + group + "/sandboxes/status": n, "POST /pods": n}
	b.report.addWrites("claim", writes, n)
	b.report.check(fmt.Sprintf("%s: 2 writes for each of %d claims and 1 for its refill", what, n), writes.differ(want))
	return nil
}

// phaseClaim measures single claims. All claims of a round are over before the floor's first refill begins.
func (b *bench) phaseClaim() error {
	n := b.sizes.claimsARound
	if err := b.atLeast(20); err != nil {
		return err
	}
	before, err := b.account()
	if err != nil {
		return err
	}
	var ours, floors []time.Duration
	for round := range b.sizes.claimRounds {
		a := claimSet{names: b.newNames("one", n)}
		f := claimSet{names: b.newNames("floor-one", n), pods: b.floor.idle()[:n]}
		err := inTurns(round%2 == 1, n, func(i int) error {
			d, err := b.claim(a.names[i])
			ours = append(ours, d)
			return err
		}, func(i int) error {
			d, err := b.floor.claim(f.names[i], f.pods[i])
			floors = append(floors, d)
			return err
		})
		last := time.Now()
		if err != nil {
			return err
		}
		if err := b.removeSandboxes(a.names); err != nil {
			return err
		}
		if err := b.refillFloor(f, last); err != nil {
			return err
		}
		if err := b.settle(); err != nil {
			return err
		}
	}
	b.report.times("claim, one at a time", ours, floors, ratioAtMost(1.25))
	b.report.check(fmt.Sprintf("one at a time: %d of %d sandboxes became Ready", len(ours), len(ours)), "")
	return b.countClaims("one at a time", before, len(ours))
}

// atLeast makes the pools at least so large.
func (b *bench) atLeast(n int) error {
	if b.size >= n {
		return nil
	}
	return b.resize(n)
}

// burst claims n at once, on one side.
func (b *bench) burst(names []string, one func(i int) (time.Duration, error)) ([]time.Duration, error) {
	times := make([]time.Duration, len(names))
	err := parallel(0, len(names), func(i int) (err error) {
		times[i], err = one(i)
		return err
	})
	return times, err
}

func (b *bench) phaseBurst(n, rounds int) error {
	if rounds == 0 {
		return nil
	}
	if err := b.atLeast(n); err != nil {
		return err
	}
	what := fmt.Sprintf("%d at once", n)
	var ours, floors []time.Duration
	before, err := b.account()
	if err != nil {
		return err
	}
	for round := range rounds {
		err := inTurns(round%2 == 1, 1, func(int) error {
			names := b.newNames("burst", n)
			d, err := b.burst(names, func(i int) (time.Duration, error) { return b.claim(names[i]) })
			ours = append(ours, d...)
			if err != nil {
				return err
			}
			if err := b.removeSandboxes(names); err != nil {
				return err
			}
			return b.settle()
		}, func(int) error {
			s := claimSet{names: b.newNames("floor-burst", n), pods: b.floor.idle()[:n]}
			d, err := b.burst(s.names, func(i int) (time.Duration, error) { return b.floor.claim(s.names[i], s.pods[i]) })
			floors = append(floors, d...)
			if err != nil {
				return err
			}
			if err := b.refillFloor(s, time.Now()); err != nil {
				return err
			}
			return b.settle()
		})
		if err != nil {
			return err
		}
	}
	b.report.times("claim, "+what, ours, floors, ratioAtMost(1.25))
	b.report.check(fmt.Sprintf("%s: %d of %d sandboxes became Ready", what, len(ours), len(ours)), "")
	return b.countClaims(what, before, len(ours))
}

// hold claims sandboxes that live until drop is called; their pods are replaced.
func (b *bench) hold(n int) (names []string, drop func() error, err error) {
	names = b.newNames("held", n)
	if err := parallel(0, n, func(i int) error { _, err := b.claim(names[i]); return err }); err != nil {
		return nil, nil, err
	}
	b.kept += n
	drop = func() error {
		b.kept -= n
		if err := b.removeSandboxes(names); err != nil {
			return err
		}
		return b.settle()
	}
	return names, drop, b.settle()
}

var echo = []string{"echo", "hi"}

// learnStatus runs a task and keeps what the operator wrote: the floor writes the same.
func (b *bench) learnStatus(sandbox string) error {
	name := b.name("learn")
	if _, _, err := b.task(name, sandbox, echo, "hi\n"); err != nil {
		return err
	}
	var o struct{ Status json.RawMessage }
	if err := b.client.get(b.path(api, "tasks", name), &o); err != nil {
		return err
	}
	b.floor.taskStatus = o.Status
	return b.removeTasks(api, []string{name})
}

// countTasks checks the writes of n tasks: one each, and one more for a long task, which says Running.
func (b *bench) countTasks(what string, before account, progressBefore, n int) error {
	time.Sleep(200 * time.Millisecond)
	after, err := b.account()
	if err != nil {
		return err
	}
	writes := after.since(before).operatorWrites()
	slow := b.tasks.progress() - progressBefore
	b.report.addWrites("task", writes, n)
	b.report.check(fmt.Sprintf("%s: 1 write for each of %d tasks, and %d of Running", what, n, slow),
		writes.taskWrites().differ(counts{"PATCH " + group + "/tasks/status": n + slow}))
	return nil
}

func (b *bench) phaseTask() error {
	if err := b.atLeast(20); err != nil {
		return err
	}
	held, drop, err := b.hold(1)
	if err != nil {
		return err
	}
	if err := b.learnStatus(held[0]); err != nil {
		return err
	}
	for _, c := range []struct {
		command []string
		out     string
		target  target
	}{{[]string{"true"}, "", noTarget}, {echo, "hi\n", atMostMore(4 * time.Millisecond)}} {
		if err := b.tasksOneByOne(held[0], c.command, c.out, c.target); err != nil {
			return err
		}
	}
	return drop()
}

func (b *bench) tasksOneByOne(sandbox string, command []string, out string, goal target) error {
	what := fmt.Sprintf("task `%s`", join(command))
	progress := b.tasks.progress()
	before, err := b.account()
	if err != nil {
		return err
	}
	var ours, floors, inside []time.Duration
	for round := range b.sizes.taskRounds {
		n := b.sizes.tasksARound
		names, floorNames := b.newNames("task", n), b.newNames("floor-task", n)
		err := inTurns(round%2 == 1, n, func(i int) error {
			d, o, err := b.task(names[i], sandbox, command, out)
			if err != nil {
				return err
			}
			took, err := time.ParseDuration(o.Status.Duration)
			ours, inside = append(ours, d), append(inside, took)
			return err
		}, func(i int) error {
			d, err := b.floor.task(floorNames[i], sandbox, command)
			floors = append(floors, d)
			return err
		})
		if err != nil {
			return err
		}
		if err := b.removeTasks(api, names); err != nil {
			return err
		}
		if err := b.removeTasks(floorAPI, floorNames); err != nil {
			return err
		}
	}
	b.report.times(what+", one at a time", ours, floors, goal)
	// The sidecar's own measure, from the request to the end.
	b.report.times(what+", inside of the pod", inside, nil, lessThan(3*time.Millisecond))
	b.report.check(fmt.Sprintf("%s: %d of %d tasks ended right", what, len(ours), len(ours)), "")
	return b.countTasks(what, before, progress, len(ours))
}

// Twenty clients, each with a sandbox of its own in which it runs ten tasks, one after the other.
const (
	rateSandboxes = 20
	rateTasks     = 10
)

func (b *bench) phaseRate() error {
	if err := b.atLeast(rateSandboxes); err != nil {
		return err
	}
	held, drop, err := b.hold(rateSandboxes)
	if err != nil {
		return err
	}
	if b.floor.taskStatus == nil {
		if err := b.learnStatus(held[0]); err != nil {
			return err
		}
	}
	meter, err := newCPUMeter(b, held)
	if err != nil {
		b.report.note("no CPU figures: " + err.Error())
	}
	use, floorUse := cpuUse{}, cpuUse{}
	stop := b.procs.sampleUnderLoad(b, held[0])
	progress := b.tasks.progress()
	before, err := b.account()
	if err != nil {
		return err
	}
	var ours, floors []time.Duration
	var rates, floorRates []float64
	total := 0
	for round := range b.sizes.rateRounds {
		err := inTurns(round%2 == 1, 1, func(int) error {
			names := b.newNames("rate", rateSandboxes*rateTasks)
			start := meter.read()
			d, rate, err := rateOf(names, func(client, i int) (time.Duration, error) {
				d, _, err := b.task(names[i], held[client], echo, "hi\n")
				return d, err
			})
			use.add(meter.read(), start)
			ours, rates, total = append(ours, d...), append(rates, rate), total+len(names)
			if err != nil {
				return err
			}
			return b.removeTasks(api, names)
		}, func(int) error {
			names := b.newNames("floor-rate", rateSandboxes*rateTasks)
			start := meter.read()
			d, rate, err := rateOf(names, func(client, i int) (time.Duration, error) {
				return b.floor.task(names[i], held[client], echo)
			})
			floorUse.add(meter.read(), start)
			floors, floorRates = append(floors, d...), append(floorRates, rate)
			if err != nil {
				return err
			}
			return b.removeTasks(floorAPI, names)
		})
		if err != nil {
			return err
		}
	}
	stop()
	what := fmt.Sprintf("%d sandboxes x %d tasks", rateSandboxes, rateTasks)
	b.report.times(what+", each task", ours, floors, noTarget)
	b.report.rates(what, rates, floorRates, 0.8)
	b.report.cpuPerTask(use, floorUse, total)
	b.report.check(fmt.Sprintf("%s: %d of %d tasks ended right", what, total, total), "")
	if err := b.countTasks(what, before, progress, total); err != nil {
		return err
	}
	return drop()
}

// rateOf runs all tasks and returns the time of each and how many ended in a second.
func rateOf(names []string, one func(client, i int) (time.Duration, error)) ([]time.Duration, float64, error) {
	times := make([]time.Duration, len(names))
	start := time.Now()
	err := parallel(0, rateSandboxes, func(client int) error {
		for k := range rateTasks {
			i := client*rateTasks + k
			d, err := one(client, i)
			if err != nil {
				return err
			}
			times[i] = d
		}
		return nil
	})
	return times, float64(len(names)) / time.Since(start).Seconds(), err
}

func (b *bench) phaseMemory() error {
	if err := b.atLeast(b.sizes.memoryPods); err != nil {
		return err
	}
	return b.procs.reportMemory(b)
}

// phaseIdle measures what requests are made and what CPU time is used when there is nothing to do.
func (b *bench) phaseIdle() error {
	if err := b.atLeast(1); err != nil {
		return err
	}
	time.Sleep(3 * time.Second) // until the last status is written and the last kept connections are closed
	before, err := b.account()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		b.procs.reportIdleCPU(b, b.sizes.idle)
	}()
	time.Sleep(b.sizes.idle)
	wg.Wait()
	after, err := b.account()
	if err != nil {
		return err
	}
	requests := after.since(before).operatorRequests()
	b.report.check(fmt.Sprintf("idle for %v: no request but watches and the lease", b.sizes.idle), requests.differ(counts{}))
	return nil
}
