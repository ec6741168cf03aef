package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// report collects figures and checks; checks are printed at once, figures at the end.
type report struct {
	Figures  []*figure         `json:"figures"`
	Writes   map[string]*tally `json:"writes"`
	CPU      []cpuRow          `json:"cpu,omitempty"`
	Notes    []string          `json:"notes,omitempty"`
	Checks   map[string]bool   `json:"checks"`
	Started  time.Time         `json:"started"`
	Seconds  float64           `json:"seconds"`
	Pressure float64           `json:"cpuPressure"` // the share of the time in which something waited for a CPU
	Long     bool              `json:"long"`
	passed   int
	failed   int
}

// tally has the writes that a number of claims or tasks took.
type tally struct {
	Of     int            `json:"of"`
	Counts map[string]int `json:"counts"`
}

type figure struct {
	Name   string    `json:"name"`
	Unit   string    `json:"unit"`
	Ours   quantiles `json:"ours"`
	Floor  quantiles `json:"floor"`
	Ratio  float64   `json:"ratio,omitempty"` // of the medians, or of the values that the target compares
	Target string    `json:"target,omitempty"`
	Met    *bool     `json:"met,omitempty"`
}

type quantiles struct {
	N   int     `json:"n,omitempty"`
	P50 float64 `json:"p50,omitempty"`
	P90 float64 `json:"p90,omitempty"`
	P99 float64 `json:"p99,omitempty"`
}

// target judges two medians, or, if of is set, the values that of takes from the quantiles.
type target struct {
	text string
	met  func(ours, floor float64) bool
	of   func(quantiles) float64
}

var noTarget = target{}

func ratioAtMost(r float64) target {
	return target{text: fmt.Sprintf("<= %.2fx", r), met: func(o, f float64) bool { return o <= r*f }}
}

func worstAtMost(r float64) target {
	return target{fmt.Sprintf("p99 <= %.2fx", r), func(o, f float64) bool { return o <= r*f },
		func(q quantiles) float64 { return q.P99 }}
}

func atMostMore(d time.Duration) target {
	return target{text: fmt.Sprintf("<= floor + %v", d), met: func(o, f float64) bool { return o <= f+ms(d) }}
}

func lessThan(d time.Duration) target {
	return target{text: fmt.Sprintf("< %v", d), met: func(o, _ float64) bool { return o < ms(d) }}
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// quantile is the value below which the fraction q of a sorted list lies (nearest rank).
func quantile(sorted []float64, q float64) float64 {
	i := int(q*float64(len(sorted))+0.999999) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

func quantilesOf(values []float64) quantiles {
	if len(values) == 0 {
		return quantiles{}
	}
	s := slices.Sorted(slices.Values(values))
	return quantiles{len(s), quantile(s, 0.5), quantile(s, 0.9), quantile(s, 0.99)}
}

func inMS(times []time.Duration) []float64 {
	values := make([]float64, len(times))
	for i, d := range times {
		values[i] = ms(d)
	}
	return values
}

func (r *report) add(name, unit string, ours, floors []float64, goal target) {
	f := &figure{Name: name, Unit: unit, Ours: quantilesOf(ours), Floor: quantilesOf(floors), Target: goal.text}
	mine, theirs := f.Ours.P50, f.Floor.P50
	if goal.of != nil {
		mine, theirs = goal.of(f.Ours), goal.of(f.Floor)
	}
	if theirs >= 0.1 {
		f.Ratio = mine / theirs
	}
	if goal.met != nil {
		met := goal.met(mine, theirs)
		f.Met = &met
	}
	r.Figures = append(r.Figures, f)
	fmt.Printf("    %s\n", strings.Join(strings.Fields(f.line()), " "))
}

func (r *report) times(name string, ours, floors []time.Duration, goal target) {
	r.add(name, "ms", inMS(ours), inMS(floors), goal)
}

func (r *report) rates(name string, ours, floors []float64, least float64) {
	r.add(name, "tasks/s", ours, floors, target{text: fmt.Sprintf(">= %.1fx", least),
		met: func(o, f float64) bool { return o >= least*f }})
}

// value is a figure without a floor; below 0 means without a target.
func (r *report) value(name string, v float64, unit string, below float64) {
	goal := noTarget
	if below > 0 {
		goal = target{text: fmt.Sprintf("< %g %s", below, unit), met: func(o, _ float64) bool { return o < below }}
	}
	r.add(name, unit, []float64{v}, nil, goal)
}

func (r *report) podMemory(when string, sidecar, runner memory) {
	r.value("sidecar + runner "+when+": anonymous", float64(sidecar.anonymous+runner.anonymous)/1024, "MiB", 1)
	r.value("sidecar "+when+": anonymous", float64(sidecar.anonymous)/1024, "MiB", 0)
	r.value("sidecar "+when+": RSS", float64(sidecar.rss)/1024, "MiB", 0)
	r.value("runner "+when+": anonymous", float64(runner.anonymous)/1024, "MiB", 0)
	r.value("runner "+when+": RSS", float64(runner.rss)/1024, "MiB", 0)
}

func (r *report) addWrites(what string, c counts, n int) {
	t := r.Writes[what]
	if t == nil {
		t = &tally{Counts: map[string]int{}}
		r.Writes[what] = t
	}
	t.Of += n
	for k, v := range c {
		t.Counts[k] += v
	}
}

func (r *report) note(text string) {
	r.Notes = append(r.Notes, text)
	fmt.Println("    " + text)
}

// check prints one line; why is empty if it holds.
func (r *report) check(name, why string) {
	r.Checks[name] = why == ""
	if why == "" {
		r.passed++
		fmt.Println("ok - " + name)
		return
	}
	r.failed++
	fmt.Printf("not ok - %s\n    %s\n", name, why)
}

func (q quantiles) text() string {
	switch q.N {
	case 0:
		return fmt.Sprintf("%26s", "")
	case 1:
		return fmt.Sprintf("%8.2f %17s", q.P50, "")
	}
	return fmt.Sprintf("%8.1f %8.1f %8.1f", q.P50, q.P90, q.P99)
}

func (f *figure) line() string {
	ratio, verdict := "", ""
	if f.Ratio > 0 {
		ratio = fmt.Sprintf("%.2fx", f.Ratio)
	}
	if f.Met != nil {
		verdict = "met"
		if !*f.Met {
			verdict = "MISSED"
		}
	}
	samples := ""
	if f.Ours.N > 1 {
		samples = fmt.Sprint(f.Ours.N)
	}
	return fmt.Sprintf("%-46s %5s %s %s %-7s %6s %-15s %s", f.Name, samples, f.Ours.text(), f.Floor.text(), f.Unit, ratio,
		f.Target, verdict)
}

func (r *report) print() {
	fmt.Printf("\n%-46s %5s %26s %26s %-7s %6s %-15s\n", "", "n", "ours p50 p90 p99", "floor p50 p90 p99", "", "ratio", "target")
	for _, f := range r.Figures {
		fmt.Println(strings.TrimRight(f.line(), " "))
	}
	r.printCPU()
	for _, what := range []string{"claim", "task"} {
		if t := r.Writes[what]; t != nil {
			fmt.Printf("API writes for %d x %s: %s\n", t.Of, what, counts(t.Counts))
		}
	}
	fmt.Printf("In %.0f%% of the %.0f s some process of the machine waited for a CPU.\n\n", 100*r.Pressure, r.Seconds)
}

func (r *report) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func join(words []string) string { return strings.Join(words, " ") }
