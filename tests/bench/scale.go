package main

import (
	"fmt"
	"slices"
	"time"
)

// Scale: what claims cost when pools have thousands of pods. They are objects of a real API server,
// bound by a real scheduler, but nothing runs in them: KWOK says that they are ready. So sandboxes are
// claimed, and no tasks run.

type scaleSizes struct {
	pods    []int // of each pool, one size after the other
	claims  int   // claims at once
	rates   []rate
	roll    int // the most idle pods that are rolled
	during  rate
	fair    int // claims at once in one namespace
	singles int // the most claims meanwhile in another namespace
	rounds  int
}

// rate is claims for some seconds.
type rate struct{ perSecond, seconds int }

func (r rate) String() string { return fmt.Sprintf("%d/s for %d s", r.perSecond, r.seconds) }

var (
	scaleShort = scaleSizes{
		pods: []int{100, 200}, claims: 20, rates: []rate{{20, 1}}, roll: 60, during: rate{10, 1}, fair: 50, singles: 5,
		rounds: 1,
	}
	scaleLong = scaleSizes{
		pods: []int{1000, 5000}, claims: 300, rates: []rate{{20, 15}, {50, 10}}, roll: 4000, during: rate{20, 5}, fair: 1000,
		singles: 20, rounds: 3,
	}
)

// side says who makes the writes: arl's operator, or the floor, which has two ways to replace claimed pods.
type side int

const (
	ours        side = iota
	floorAtOnce      // A: replaces each at once
	floorHeld        // B: replaces them when no claim has come for as long as arl's operator waits
)

type scale struct {
	b       *bench
	other   *bench // another namespace, with small pools
	sizes   scaleSizes
	kwok    int // its process
	profile string
	symbols string
	meter   *cpuMeter
	series  []*series
}

// series is all that was measured under one name, in all rounds.
type series struct {
	name   string
	unit   string
	values [3][]float64
	goals  [3]target
	use    [3]cpuUse
	of     [3]int // claims or pods that the CPU time was used for
	bound  int    // sandboxes of arl's that became Ready with a pod of their own
}

func (s *scale) named(name, unit string) *series {
	for _, o := range s.series {
		if o.name == name {
			return o
		}
	}
	o := &series{name: name, unit: unit, use: [3]cpuUse{{}, {}, {}}}
	s.series = append(s.series, o)
	return o
}

func (o *series) add(k side, set claimSet) {
	o.values[k] = append(o.values[k], inMS(set.times)...)
	if k == ours {
		o.bound += len(set.names)
	}
}

// used adds the CPU time since before, of which n claims or pods were the cause.
func (s *scale) used(o *series, k side, before cpuUse, n int) {
	o.use[k].add(s.meter.read(), before)
	o.of[k] += n
}

var scalePhases = []string{"grow", "burst", "rate", "roll", "fair"}

func (s *scale) prepare(crds string) error {
	// The node comes first: with it, KWOK also removes the pods that an earlier run has left on it.
	if _, err := s.b.client.create("/api/v1/nodes", fakeNode()); err != nil && !hasStatus(err, 409) {
		return err
	}
	s.b.removeRest()
	s.other.removeRest()
	if err := s.b.install(crds); err != nil {
		return err
	}
	return s.other.install(crds)
}

func (s *scale) cleanup() {
	s.b.cleanup()
	s.other.cleanup()
	s.b.client.remove("/api/v1/nodes/" + fakeNodeName) // last: without the node KWOK does not end its pods
}

func (s *scale) doPhases(wanted []string) {
	err := s.rounds(wanted)
	for _, o := range s.series {
		s.report(o)
	}
	s.reportPeak()
	s.b.report.check(fmt.Sprintf("%d rounds came to their end", s.sizes.rounds), first(err))
}

func (s *scale) rounds(wanted []string) error {
	if err := s.begin(); err != nil {
		return err
	}
	stop, err := s.startProfile()
	if err != nil {
		return err
	}
	for round := range s.sizes.rounds {
		if err = s.round(round, wanted); err != nil {
			err = fmt.Errorf("round %d: %w", round+1, err)
			break
		}
	}
	if stopErr := stop(); err == nil {
		err = stopErr
	}
	return err
}

// begin fills the pools for the first time.
func (s *scale) begin() error {
	var err error
	if s.meter, err = newCPUMeter(s.b, nil); err != nil {
		return err
	}
	s.meter.pids["kwok"] = s.kwok
	for who, component := range map[string]string{"scheduler": "kube-scheduler", "controllers": "kube-controller-manager"} {
		s.meter.pids[who] = findByArgument(component, "", node(s.meter.pids["API server"]))
	}
	if err := s.other.resize(s.sizes.singles); err != nil {
		return err
	}
	return s.b.resize(s.sizes.pods[0])
}

// round does every phase once, at each size of the pools. What is measured of arl and of the floor is
// measured in turns, in another order each round.
func (s *scale) round(round int, wanted []string) error {
	does := func(phase string) bool { return len(wanted) == 0 || slices.Contains(wanted, phase) }
	for i, n := range s.sizes.pods {
		if err := s.toSize(n, round, i > 0 && does("grow")); err != nil {
			return err
		}
		if does("burst") {
			if err := s.claims(round, fmt.Sprintf("%d at once", s.sizes.claims), s.sizes.claims, atOnce, burstGoals); err != nil {
				return err
			}
		}
		for _, r := range s.sizes.rates {
			if !does("rate") {
				break
			}
			if err := s.claims(round, r.String(), r.perSecond*r.seconds, r.spread, rateGoals(r)); err != nil {
				return err
			}
		}
		s.memory()
	}
	if does("fair") {
		if err := s.fair(round); err != nil {
			return err
		}
	}
	if does("roll") {
		return s.roll()
	}
	return nil
}

// spread calls one for n claims, at once or over a time.
type spread func(n int, one func(i int) error) error

func atOnce(n int, one func(i int) error) error { return parallel(0, n, one) }

func oneByOne(n int, one func(i int) error) error { return parallel(1, n, one) }

func (r rate) spread(n int, one func(i int) error) error {
	begin := time.Now()
	return parallel(0, n, func(i int) error {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(r.perSecond))))
		return one(i)
	})
}

// makeClaims claims n sandboxes of one side.
func (b *bench) makeClaims(k side, n int, start spread) (claimSet, error) {
	set := claimSet{names: b.newNames("scale", n), times: make([]time.Duration, n)}
	if k == ours {
		err := start(n, func(i int) (err error) {
			set.times[i], err = b.claim(set.names[i])
			return err
		})
		if err != nil {
			return set, err
		}
		return set, b.areBound(set.names)
	}
	set.pods = b.floor.idle()[:n]
	gate := make(chan struct{}, refillWidth)
	return set, start(n, func(i int) (err error) {
		set.times[i], err = b.floor.claim(set.names[i], set.pods[i])
		if err != nil || k == floorHeld {
			return err
		}
		gate <- struct{}{}
		defer func() { <-gate }()
		return b.floor.fill(1)
	})
}

// endClaims deletes what was claimed, and waits until both pools are full again.
func (b *bench) endClaims(k side, set claimSet) error {
	var err error
	switch k {
	case ours:
		err = b.removeSandboxes(set.names)
	case floorAtOnce:
		err = b.floor.drop(set.names, set.pods)
	case floorHeld:
		err = b.refillFloor(set, time.Now())
	}
	if err != nil {
		return err
	}
	return b.settle()
}

// areBound checks that each sandbox has a pod, that the pod names the sandbox, and that it never had another one.
func (b *bench) areBound(names []string) error {
	sandboxes := map[string]*object{}
	for _, o := range b.sandboxes.snapshot() {
		sandboxes[o.Metadata.Name] = o
	}
	for _, name := range names {
		o := sandboxes[name]
		if o == nil || o.Status.Phase != "Ready" || o.Status.PodUID == "" {
			return fmt.Errorf("sandbox %s is not Ready with a pod", name)
		}
		if had := b.bound[o.Status.PodUID]; had != "" {
			return fmt.Errorf("sandboxes %s and %s have both got pod %s", had, name, o.Status.PodName)
		}
		b.bound[o.Status.PodUID] = name
	}
	var other string
	err := b.pods.until(b.limit, "the pods to name their sandboxes", func() bool {
		for _, name := range names {
			pod := b.pods.objs[sandboxes[name].Status.PodName]
			if pod == nil || pod.Metadata.UID != sandboxes[name].Status.PodUID || pod.Metadata.Labels[group+"/sandbox"] != name {
				other = name
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("the pod of sandbox %s: %w", other, err)
	}
	return nil
}

// toSize brings both pools to n pods. As a measure, one after the other.
func (s *scale) toSize(n, round int, measured bool) error {
	if !measured {
		return s.b.resize(n)
	}
	from := s.b.size
	o := s.named(fmt.Sprintf("%d -> %d pods", from, n), "s")
	o.goals[floorAtOnce] = ratioAtMost(1.1)
	grow := func(k side, resize func(int) error) func(int) error {
		return func(int) error {
			start, before := time.Now(), s.meter.read()
			err := resize(n)
			o.values[k] = append(o.values[k], time.Since(start).Seconds())
			s.used(o, k, before, n-from)
			return err
		}
	}
	if err := inTurns(round%2 == 1, 1, grow(ours, s.b.resizePool), grow(floorAtOnce, s.b.floor.resize)); err != nil {
		return err
	}
	return s.b.settle()
}

func burstGoals(o *series) { o.goals[floorHeld] = ratioAtMost(1.0) }

// rateGoals compares with floor A: while claims keep coming, an operator has to replace pods all the time.
func rateGoals(r rate) func(*series) {
	return func(o *series) {
		o.goals[floorAtOnce] = ratioAtMost(1.0)
		if r.perSecond <= 20 {
			o.goals[floorAtOnce] = worstAtMost(1.25)
		}
	}
}

// claims makes n claims of each side.
func (s *scale) claims(round int, what string, n int, start spread, goals func(*series)) error {
	b := s.b
	n = min(n, b.size)
	o := s.named(fmt.Sprintf("claim, %s, %d pods", what, b.size), "ms")
	goals(o)
	sides := []side{ours, floorHeld, floorAtOnce}
	for i := range sides {
		k := sides[(i+round)%len(sides)]
		account, err := b.account()
		if err != nil {
			return err
		}
		before := s.meter.read()
		set, err := b.makeClaims(k, n, start)
		if err != nil {
			return err
		}
		if err := b.endClaims(k, set); err != nil {
			return err
		}
		s.used(o, k, before, n)
		o.add(k, set)
		if k == ours {
			if err := b.countClaims(o.name, account, n); err != nil {
				return err
			}
		}
	}
	return nil
}

// fair is one claim after the other in a namespace while another namespace has claimed many at once.
func (s *scale) fair(round int) error {
	return inTurns(round%2 == 1, 1,
		func(int) error { return s.fairOf(ours) }, func(int) error { return s.fairOf(floorHeld) })
}

func (s *scale) fairOf(k side) error {
	n := min(s.sizes.fair, s.b.size)
	quiet := s.named("claim in namespace B, quiet", "ms")
	many := s.named(fmt.Sprintf("claim in A, %d at once, %d pods", n, s.b.size), "ms")
	single := s.named(fmt.Sprintf("claim in B during %d of A", n), "ms")
	set, err := s.other.makeClaims(k, s.sizes.singles, oneByOne)
	if err != nil {
		return err
	}
	if err := s.other.endClaims(k, set); err != nil {
		return err
	}
	quiet.add(k, set)
	if k == ours {
		single.goals[ours] = timesQuiet(3, quiet)
	}

	var all claimSet
	var failed error
	over := make(chan struct{})
	go func() {
		all, failed = s.b.makeClaims(k, n, atOnce)
		close(over)
	}()
	sandboxes := s.b.sandboxes
	if k != ours {
		sandboxes = s.b.floor.sandboxes
	}
	err = sandboxes.until(s.b.limit, "a tenth of the sandboxes", func() bool { return len(sandboxes.objs) >= n/10 })
	var ones claimSet
	for err == nil && len(ones.names) < s.sizes.singles && !isClosed(over) {
		var one claimSet
		one, err = s.other.makeClaims(k, 1, atOnce)
		ones = claimSet{append(ones.names, one.names...), append(ones.pods, one.pods...), append(ones.times, one.times...)}
	}
	<-over
	if err == nil {
		err = failed
	}
	if err != nil {
		return err
	}
	single.add(k, ones)
	many.add(k, all)
	if err := s.other.endClaims(k, ones); err != nil {
		return err
	}
	return s.b.endClaims(k, all)
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// roll changes the template, and measures claims during the roll, next to the same claims before it.
func (s *scale) roll() error {
	b, r := s.b, s.sizes.during
	if s.sizes.roll < b.size {
		if err := b.resizePool(s.sizes.roll); err != nil {
			return err
		}
		if err := b.settle(); err != nil {
			return err
		}
	}
	n := min(r.perSecond*r.seconds, b.size)
	quiet := s.named(fmt.Sprintf("claim, %v, quiet", r), "ms")
	during := s.named(fmt.Sprintf("claim, %v, while %d pods are rolled", r, b.size), "ms")
	took := s.named(fmt.Sprintf("%d pods are rolled", b.size), "s")
	during.goals[ours] = timesQuiet(2, quiet)
	set, err := b.makeClaims(ours, n, r.spread)
	if err != nil {
		return err
	}
	quiet.add(ours, set)
	if err := b.endClaims(ours, set); err != nil {
		return err
	}
	start, before := time.Now(), s.meter.read()
	b.pods.recount(func() { b.roll = b.name("roll") })
	body := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"labels":{%q:%q}}}}}`, labelRoll, b.roll)
	if _, err := b.client.patch(b.path(api, "warmpools", poolName), body); err != nil {
		return err
	}
	if set, err = b.makeClaims(ours, n, r.spread); err != nil {
		return err
	}
	during.add(ours, set)
	if err := b.endClaims(ours, set); err != nil {
		return err
	}
	took.values[ours] = append(took.values[ours], time.Since(start).Seconds())
	s.used(took, ours, before, b.size)
	return nil
}

// memory reports the memory of each component at the present size of the pools.
func (s *scale) memory() {
	for _, who := range scaleUsers {
		m, err := memoryOf(s.meter.pids[who])
		if err != nil {
			s.b.report.note(fmt.Sprintf("no memory of %s: %v", who, err))
			continue
		}
		rss := s.named(fmt.Sprintf("%s, %d pods: RSS", who, s.b.size), "MiB")
		rss.values[ours] = append(rss.values[ours], float64(m.rss)/1024)
		if who == "operator" {
			part := s.named(fmt.Sprintf("%s, %d pods: anonymous", who, s.b.size), "MiB")
			part.values[ours] = append(part.values[ours], float64(m.anonymous)/1024)
		}
	}
}
