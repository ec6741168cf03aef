package main

import (
	"fmt"
	"strings"
)

// scaleUsers are those whose CPU time and memory is measured. "client" is this program, which is also the
// floor's operator.
var scaleUsers = []string{"operator", "API server", "etcd", "kwok", "scheduler", "controllers", "client"}

// cpuRow is milliseconds of CPU time for each of so many claims or pods.
type cpuRow struct {
	Name string             `json:"name"`
	Side string             `json:"side"`
	Of   int                `json:"of"`
	MS   map[string]float64 `json:"ms"`
}

var sideNames = [...]string{"ours", "floor A", "floor B"}

// timesQuiet is a target relative to another figure of arl's, which was measured while nothing else happened.
func timesQuiet(most float64, quiet *series) target {
	return target{text: fmt.Sprintf("<= %gx of quiet", most), met: func(o, _ float64) bool {
		return o <= most*quantilesOf(quiet.values[ours]).P50
	}}
}

func (o *series) hasFloor() bool { return len(o.values[floorAtOnce])+len(o.values[floorHeld]) > 0 }

// report has a line for each of the two floors.
func (s *scale) report(o *series) {
	r := s.b.report
	for k, letter := range []string{"", " (A)", " (B)"} {
		if len(o.values[k]) == 0 || k == int(ours) && o.hasFloor() {
			continue
		}
		goal, floors := o.goals[k], o.values[k]
		if goal.met == nil {
			goal = o.goals[ours]
		}
		if k == int(ours) {
			floors = nil
		}
		r.add(o.name+letter, o.unit, o.values[ours], floors, goal)
	}
	for k, use := range o.use {
		if o.of[k] == 0 {
			continue
		}
		row := cpuRow{Name: o.name, Side: sideNames[k], Of: o.of[k], MS: map[string]float64{}}
		for _, who := range scaleUsers {
			row.MS[who] = ms(use[who]) / float64(o.of[k])
		}
		r.CPU = append(r.CPU, row)
	}
	if o.bound > 0 {
		r.check(fmt.Sprintf("%s: %d of %d sandboxes became Ready, each with a pod of its own", o.name, o.bound, o.bound), "")
	}
}

func (s *scale) reportPeak() {
	if s.meter == nil {
		return
	}
	if peak := peakMemory(s.meter.pids["operator"]); peak > 0 {
		s.b.report.value("operator: the most that it ever had, RSS", float64(peak)/1024, "MiB", 0)
	}
}

// printCPU is a table with a line for each side of a figure.
func (r *report) printCPU() {
	if len(r.CPU) == 0 {
		return
	}
	fmt.Printf("%-46s %-8s", "CPU time of a claim's or a pod's whole life, ms", "")
	for _, who := range scaleUsers {
		fmt.Printf(" %11s", who)
	}
	fmt.Println()
	for _, row := range r.CPU {
		var cells []string
		for _, who := range scaleUsers {
			cells = append(cells, fmt.Sprintf("%11.2f", row.MS[who]))
		}
		fmt.Printf("%-46s %-8s %s\n", row.Name, row.Side, strings.Join(cells, " "))
	}
	fmt.Println()
}
