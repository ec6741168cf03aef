package main

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// pressure says how busy the machine was: the share of the time in which some process waited for a CPU. If
// other programs were busy, figures can be compared only with those of the same run.
type pressure struct {
	at      time.Time
	stalled time.Duration
}

func readPressure() pressure {
	text, _ := os.ReadFile("/proc/pressure/cpu")
	line, _, _ := strings.Cut(string(text), "\n")
	_, total, _ := strings.Cut(line, "total=")
	us, _ := strconv.ParseInt(total, 10, 64)
	return pressure{time.Now(), time.Duration(us) * time.Microsecond}
}

// since is the share of the time since before, 0 to 1.
func (p pressure) since(before pressure) float64 {
	return float64(p.stalled-before.stalled) / float64(p.at.Sub(before.at))
}
