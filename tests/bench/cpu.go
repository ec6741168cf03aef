package main

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// CPU time by who used it. Other programs make latencies longer, but not CPU time; and on a busy machine CPU
// time decides the rate.

// cpuUse is CPU time by who used it.
type cpuUse map[string]time.Duration

var cpuUsers = []string{"API server", "etcd", "operator", "sidecar", "runner and step", "client"}

// cpuMeter knows the processes and control groups to look at.
type cpuMeter struct {
	pids     map[string]int
	sidecars []int
	groups   []string // files with the CPU time of the pods
}

// newCPUMeter fails if the cluster does not run on this machine.
func newCPUMeter(b *bench, sandboxes []string) (*cpuMeter, error) {
	m := &cpuMeter{pids: map[string]int{"client": os.Getpid()}}
	var err error
	if m.pids["operator"], err = b.procs.operator(b); err != nil {
		return nil, err
	}
	server, err := url.Parse(b.client.server)
	if err != nil {
		return nil, err
	}
	m.pids["API server"] = findByArgument("kube-apiserver", "--advertise-address="+server.Hostname())
	m.pids["etcd"] = findByArgument("etcd", "", node(m.pids["API server"]))
	if m.pids["API server"] == 0 || m.pids["etcd"] == 0 {
		return nil, fmt.Errorf("the API server %s does not run on this machine", server.Host)
	}
	held := map[string]bool{}
	for _, name := range sandboxes {
		held[name] = true
	}
	for _, o := range b.pods.snapshot() {
		if held[o.Metadata.Labels["arl.infra.io/sandbox"]] {
			m.groups = append(m.groups, podCPUFiles(o.Metadata.UID)...)
			m.sidecars = append(m.sidecars, find("arl-sidecar", o.Metadata.UID)...)
		}
	}
	return m, nil
}

// findByArgument finds a component of the local cluster by its first and another argument, and by its node.
func findByArgument(first, other string, nodes ...int) int {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		text, _ := os.ReadFile(f)
		args := strings.Split(string(text), "\x00")
		if len(args) < 2 || args[1] != first || other != "" && !strings.Contains(string(text), other+"\x00") {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if len(nodes) == 0 || node(pid) == nodes[0] {
			return pid
		}
	}
	return 0
}

// node is the first process of the local cluster, which starts each component through a shell.
func node(pid int) int { return parent(parent(pid)) }

func parent(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	var state byte
	var ppid int
	fmt.Sscanf(rest, "%c %d", &state, &ppid)
	return ppid
}

// podCPUFiles are the files of a pod's control groups that count CPU time, also that of processes that have ended.
func podCPUFiles(uid string) []string {
	v1, _ := filepath.Glob("/sys/fs/cgroup/cpuacct/*/kubepods/*/pod" + uid + "/cpuacct.usage")
	if len(v1) > 0 {
		return v1
	}
	v2, _ := filepath.Glob("/sys/fs/cgroup/*/kubepods/*/pod" + uid + "/cpu.stat")
	return v2
}

func cgroupCPU(file string) time.Duration {
	text, _ := os.ReadFile(file)
	if n, err := strconv.ParseInt(string(bytes.TrimSpace(text)), 10, 64); err == nil {
		return time.Duration(n)
	}
	for line := range strings.Lines(string(text)) {
		if v, ok := strings.CutPrefix(line, "usage_usec "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(v), 10, 64)
			return time.Duration(n) * time.Microsecond
		}
	}
	return 0
}

func (m *cpuMeter) read() cpuUse {
	use := cpuUse{}
	if m == nil {
		return use
	}
	for who, pid := range m.pids {
		use[who] = cpu(pid)
	}
	for _, pid := range m.sidecars {
		use["sidecar"] += cpu(pid)
	}
	for _, f := range m.groups {
		use["runner and step"] += cgroupCPU(f)
	}
	use["runner and step"] -= use["sidecar"]
	return use
}

// add adds what was used since before.
func (u cpuUse) add(now, before cpuUse) {
	for who, d := range now {
		u[who] += d - before[who]
	}
}

// cpuPerTask reports milliseconds of CPU time for each of n tasks of either side.
func (r *report) cpuPerTask(ours, floors cpuUse, n int) {
	if len(ours) == 0 {
		return
	}
	var sum, floorSum float64
	for _, who := range cpuUsers {
		o, f := ms(ours[who])/float64(n), ms(floors[who])/float64(n)
		sum, floorSum = sum+o, floorSum+f
		r.add("CPU per task: "+who, "ms", []float64{o}, []float64{f}, noTarget)
	}
	r.add("CPU per task: all of these", "ms", []float64{sum}, []float64{floorSum}, noTarget)
}
