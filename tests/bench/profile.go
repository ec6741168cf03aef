package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// startProfile has perf look at the operator, until the function that it returns is called, which
// writes the report. Without a file for it, both do nothing.
func (s *scale) startProfile() (stop func() error, err error) {
	if s.profile == "" {
		return func() error { return nil }, nil
	}
	dir, err := os.MkdirTemp("", "arl-profile")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(dir, "perf.data")
	// The event cpu-clock, since virtual machines have no hardware events.
	record := exec.Command("perf", "record", "--quiet", "--no-buildid-cache", "--event=cpu-clock", "--freq=999",
		"--pid="+strconv.Itoa(s.meter.pids["operator"]), "--output="+data)
	record.Stderr = os.Stderr
	if err := record.Start(); err != nil {
		return nil, err
	}
	return func() error {
		defer os.RemoveAll(dir)
		record.Process.Signal(os.Interrupt)
		record.Wait() // perf ends by the signal that it was sent
		return s.writeProfile(dir, data)
	}, nil
}

// writeProfile finds the functions' names: the program in the image has none, but the one from which it was made has.
func (s *scale) writeProfile(dir, data string) error {
	ids := filepath.Join(dir, "ids")
	if s.symbols != "" {
		if text, err := exec.Command("perf", "--buildid-dir", ids, "buildid-cache", "--add="+s.symbols).CombinedOutput(); err != nil {
			return fmt.Errorf("perf buildid-cache: %w: %s", err, text)
		}
	}
	text, err := exec.Command("perf", "--buildid-dir", ids, "report", "--stdio", "--input="+data, "--sort=dso,symbol",
		"--percent-limit=0.2").Output()
	if err != nil {
		return fmt.Errorf("perf report: %w", err)
	}
	return os.WriteFile(s.profile, text, 0o644)
}
