package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// counts are requests by "VERB group/resource/subresource".
type counts map[string]int

// serverCounts reads the API server's own account of the requests that it answered.
func (b *bench) serverCounts() (counts, error) {
	text, err := b.client.request("GET", "/metrics", "", nil)
	if err != nil {
		return nil, err
	}
	c := counts{}
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte("apiserver_request_total{")) {
			continue
		}
		head, value, _ := strings.Cut(strings.TrimSpace(string(line)), "} ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, err
		}
		labels := map[string]string{}
		for _, pair := range strings.Split(strings.TrimPrefix(head, "apiserver_request_total{"), ",") {
			k, v, _ := strings.Cut(pair, "=")
			labels[k] = strings.Trim(v, `"`)
		}
		key := labels["verb"] + " " + labels["group"] + "/" + labels["resource"]
		if labels["subresource"] != "" {
			key += "/" + labels["subresource"]
		}
		c[key] += int(n)
	}
	return c, nil
}

// account is what was counted up to some moment: by the server, and by ourselves.
type account struct{ server, own counts }

func (b *bench) account() (account, error) {
	server, err := b.serverCounts()
	own := counts(b.client.counts())
	for k, n := range b.floor.op.counts() {
		own[k] += n
	}
	return account{server, own}, err
}

// since returns what others than this program did between two moments.
func (a account) since(before account) counts {
	c := counts{}
	for k, n := range a.server {
		if d := n - before.server[k] - (a.own[k] - before.own[k]); d != 0 {
			c[k] = d
		}
	}
	return c
}

// of keeps the requests for which want returns true.
func (c counts) of(want func(verb, what string) bool) counts {
	out := counts{}
	for k, n := range c {
		verb, what, _ := strings.Cut(k, " ")
		if want(verb, what) {
			out[k] = n
		}
	}
	return out
}

func isRead(verb string) bool { return verb == "GET" || verb == "LIST" || verb == "WATCH" }

// operatorWrites keeps the writes that arl's operator may have made: those of its kinds and of pods, but not what only
// kubelet and scheduler write. It leaves out deletes, since other controllers delete pods, too, and the status of
// WarmPools, which is written at most once a second in any case.
func (c counts) operatorWrites() counts {
	return c.of(func(verb, what string) bool {
		if isRead(verb) || verb == "DELETE" || what == group+"/warmpools/status" {
			return false
		}
		return strings.HasPrefix(what, group+"/") || what == "/pods"
	})
}

// taskWrites leaves out the status of sandboxes: it gets the time of the last task when no task has come for a while.
func (c counts) taskWrites() counts {
	return c.of(func(verb, what string) bool { return what != group+"/sandboxes/status" })
}

// operatorRequests keeps all requests that the operator may have made.
func (c counts) operatorRequests() counts {
	return c.of(func(verb, what string) bool {
		if verb == "WATCH" {
			return false
		}
		kubelet := what == "/pods" && (verb == "GET" || verb == "LIST")
		return strings.HasPrefix(what, group+"/") || what == "/pods" && !kubelet || what == "/secrets" && !isRead(verb)
	})
}

func (c counts) String() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(c)) {
		parts = append(parts, fmt.Sprintf("%d x %s", c[k], k))
	}
	if parts == nil {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// differ says how counts differ from the wanted ones; "" if they do not.
func (c counts) differ(want counts) string {
	for k, n := range want {
		if n != c[k] {
			return fmt.Sprintf("wanted %s; got %s", want, c)
		}
	}
	for k := range c {
		if want[k] == 0 {
			return fmt.Sprintf("wanted %s; got %s", want, c)
		}
	}
	return ""
}
