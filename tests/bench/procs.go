package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// processes finds arl's processes in this machine's /proc by the pods in which they run: the node of a local
// cluster is only a PID namespace of this machine.
type processes struct {
	operatorPID int // 0: look for it
}

// memory is in KiB, as smaps_rollup has it.
type memory struct{ rss, anonymous, private int }

// find returns the processes of this name in the pod of this UID.
func find(comm, pod string) []int {
	var pids []int
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		name, err := os.ReadFile(dir + "/comm")
		if err != nil || strings.TrimSpace(string(name)) != comm {
			continue
		}
		groups, err := os.ReadFile(dir + "/cgroup")
		if err != nil || !bytes.Contains(groups, []byte("pod"+pod)) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(dir))
		pids = append(pids, pid)
	}
	return pids
}

func (p *processes) operator(b *bench) (int, error) {
	if p.operatorPID != 0 {
		return p.operatorPID, nil
	}
	var lease struct {
		Spec struct{ HolderIdentity string }
	}
	if err := b.client.get("/apis/coordination.k8s.io/v1/namespaces/arl-system/leases/arl-operator", &lease); err != nil {
		return 0, err
	}
	_, pod, _ := strings.Cut(lease.Spec.HolderIdentity, "_")
	if pids := find("arl-operator", pod); pod != "" && len(pids) == 1 {
		return pids[0], nil
	}
	return 0, errors.New("no process arl-operator that leads in this cluster runs on this machine: give --operator-pid")
}

func memoryOf(pid int) (memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return memory{}, err
	}
	var m memory
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "Rss:":
			m.rss = n
		case "Anonymous:":
			m.anonymous = n
		case "Private_Clean:", "Private_Dirty:":
			m.private += n
		}
	}
	return m, nil
}

// peakMemory is the most memory that a process has ever had, in KiB; 0 if that is not known.
func peakMemory(pid int) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmHWM:" {
			n, _ := strconv.Atoi(f[1])
			return n
		}
	}
	return 0
}

// podMemory adds up the sidecar and the runner of one pod.
func (p *processes) podMemory(uid string) (sidecar, runner memory, err error) {
	for _, one := range []struct {
		comm string
		into *memory
	}{{"arl-sidecar", &sidecar}, {"runner", &runner}} {
		pids := find(one.comm, uid)
		if len(pids) == 0 {
			return sidecar, runner, fmt.Errorf("no process %s in pod %s", one.comm, uid)
		}
		m, err := memoryOf(slices.Min(pids))
		if err != nil {
			return sidecar, runner, err
		}
		*one.into = m
	}
	return sidecar, runner, nil
}

func (p *processes) reportMemory(b *bench) error {
	pid, err := p.operator(b)
	if err != nil {
		return err
	}
	m, err := memoryOf(pid)
	if err != nil {
		return err
	}
	b.report.value(fmt.Sprintf("operator with %d pods: RSS", b.size), float64(m.rss)/1024, "MiB", 16)
	b.report.value(fmt.Sprintf("operator with %d pods: anonymous", b.size), float64(m.anonymous)/1024, "MiB", 5)
	b.report.value(fmt.Sprintf("operator with %d pods: private", b.size), float64(m.private)/1024, "MiB", 0)
	for _, o := range b.pods.snapshot() {
		if !isWarm(o) {
			continue
		}
		sidecar, runner, err := p.podMemory(o.Metadata.UID)
		if err != nil {
			return err
		}
		b.report.podMemory("idle", sidecar, runner)
		return nil
	}
	return fmt.Errorf("no warm pod to look at")
}

// sampleUnderLoad looks at one sandbox's pod ten times a second; the function that it returns reports
// the largest sum that was seen.
func (p *processes) sampleUnderLoad(b *bench, sandbox string) (stop func()) {
	var uid string
	for _, o := range b.pods.snapshot() {
		if o.Metadata.Labels["arl.infra.io/sandbox"] == sandbox {
			uid = o.Metadata.UID
		}
	}
	var sidecar, runner memory
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		// The search through /proc costs more than reading the figures, so it is done only once.
		s, r := find("arl-sidecar", uid), find("runner", uid)
		for len(s) > 0 && len(r) > 0 {
			select {
			case <-end:
				return
			case <-time.After(100 * time.Millisecond):
			}
			ms, err1 := memoryOf(slices.Min(s))
			mr, err2 := memoryOf(slices.Min(r))
			if err1 == nil && err2 == nil && ms.anonymous+mr.anonymous > sidecar.anonymous+runner.anonymous {
				sidecar, runner = ms, mr
			}
		}
	}()
	return func() {
		close(end)
		wg.Wait()
		if sidecar.rss > 0 {
			b.report.podMemory("under load", sidecar, runner)
		}
	}
}

// cpu is the time that all threads of a process have run.
func cpu(pid int) time.Duration {
	var sum int64
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, f := range files {
		text, _ := os.ReadFile(f)
		if fields := strings.Fields(string(text)); len(fields) > 0 {
			n, _ := strconv.ParseInt(fields[0], 10, 64)
			sum += n
		}
	}
	return time.Duration(sum)
}

func (p *processes) reportIdleCPU(b *bench, over time.Duration) {
	pid, err := p.operator(b)
	if err != nil {
		b.report.note("idle CPU: " + err.Error())
		return
	}
	start := cpu(pid)
	time.Sleep(over)
	b.report.value("operator idle: CPU in a second", float64(cpu(pid)-start)/over.Seconds()/1e6, "ms", 0)
}
