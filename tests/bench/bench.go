package main

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	group     = "arl.infra.io"
	api       = "/apis/" + group + "/v1alpha1"
	poolName  = "bench"
	labelRoll = "bench.arl.infra.io/roll"
)

// bench is one run of a benchmark: its connections, its watches, and what is in the cluster.
type bench struct {
	namespace string
	limit     time.Duration // the longest time of each wait
	fake      bool          // the pods are for the fake node, see fake.go
	roll      string        // a label in the pool's template; a new value rolls the pool
	sizes     sizes
	client    *conn // as a user of arl
	server    func() *conn
	pods      *watch
	sandboxes *watch
	tasks     *watch
	floor     *floor
	procs     *processes
	size      int // replicas of arl's pool
	kept      int // how many sandboxes with pods are kept at present
	serial    int
	bound     map[string]string // pod UID: the sandbox that the pod was seen to belong to
	report    *report
}

func (b *bench) path(api, plural, name string) string {
	p := fmt.Sprintf("%s/namespaces/%s/%s", api, b.namespace, plural)
	if name != "" {
		p += "/" + name
	}
	return p
}

func (b *bench) podsPath() string { return b.path("/api/v1", "pods", "") }

// watchAll watches a kind on a connection of its own.
func (b *bench) watchAll(api, plural string) (*watch, error) {
	class := func(*object) string { return "" }
	if plural == "pods" {
		class = b.podClass
	}
	return b.server().watch(b.path(api, plural, ""), class)
}

func (b *bench) name(prefix string) string {
	b.serial++
	return fmt.Sprintf("%s-%05d", prefix, b.serial)
}

func meta(name string) map[string]any { return map[string]any{"name": name} }

func (b *bench) poolObject(replicas int) map[string]any {
	spec := map[string]any{
		"terminationGracePeriodSeconds": 2,
		"containers": []any{map[string]any{
			"name": "executor", "image": "localhost/arl/busybox:1", "command": []string{"/bin/sh", "-c", "sleep infinity"},
			"imagePullPolicy": "IfNotPresent",
		}},
	}
	if b.fake {
		spec["nodeSelector"] = map[string]any{fakeNodeKey: fakeNodeValue}
		spec["tolerations"] = []any{map[string]any{"key": fakeNodeKey, "operator": "Exists", "effect": "NoSchedule"}}
	}
	return map[string]any{
		"apiVersion": group + "/v1alpha1", "kind": "WarmPool", "metadata": meta(poolName),
		"spec": map[string]any{"replicas": replicas, "template": map[string]any{
			// No copy of the image's /workspace: older releases, which are compared with, do not have it.
			"metadata": map[string]any{"annotations": map[string]any{group + "/copy-workspace": "false"}},
			"spec":     spec,
		}},
	}
}

func sandboxObject(group, name, pool string) map[string]any {
	return map[string]any{
		"apiVersion": group + "/v1alpha1", "kind": "Sandbox", "metadata": meta(name),
		"spec": map[string]any{"poolRef": pool, "keepAlive": true},
	}
}

func taskObject(group, name, sandbox string, command []string) map[string]any {
	return map[string]any{
		"apiVersion": group + "/v1alpha1", "kind": "Task", "metadata": meta(name),
		"spec": map[string]any{"sandboxRef": sandbox, "steps": []any{
			map[string]any{"name": "run", "type": "Command", "command": command}}},
	}
}

func isFinished(o *object) bool { return o.Status.State == "Succeeded" || o.Status.State == "Failed" }

func isSettled(o *object) bool { return o.Status.Phase == "Ready" || o.Status.Phase == "Failed" }

// claim is one sandbox of arl's, until it is seen to be Ready.
func (b *bench) claim(name string) (time.Duration, error) {
	ch := b.sandboxes.expect(name, isSettled)
	start := time.Now()
	if _, err := b.client.create(b.path(api, "sandboxes", ""), sandboxObject(group, name, poolName)); err != nil {
		return 0, err
	}
	select {
	case s := <-ch:
		if s.obj.Status.Phase != "Ready" {
			_, why := s.obj.condition("Ready")
			return 0, fmt.Errorf("sandbox %s is %s: %s", name, s.obj.Status.Phase, why)
		}
		return s.at.Sub(start), nil
	case <-time.After(b.limit):
		return 0, fmt.Errorf("sandbox %s was not Ready within %v", name, b.limit)
	}
}

// task runs one command and checks what came out.
func (b *bench) task(name, sandbox string, command []string, want string) (time.Duration, *object, error) {
	ch := b.tasks.expect(name, isFinished)
	start := time.Now()
	if _, err := b.client.create(b.path(api, "tasks", ""), taskObject(group, name, sandbox, command)); err != nil {
		return 0, nil, err
	}
	select {
	case s := <-ch:
		o := s.obj
		if o.Status.State != "Succeeded" || o.Status.ExitCode == nil || *o.Status.ExitCode != 0 || o.Status.Stdout != want {
			return 0, o, fmt.Errorf("task %s ended as %s with stdout %q, stderr %q", name, o.Status.State, o.Status.Stdout,
				o.Status.Stderr)
		}
		return s.at.Sub(start), o, nil
	case <-time.After(time.Minute):
		return 0, nil, fmt.Errorf("task %s was not finished within a minute", name)
	}
}

func isWarm(o *object) bool {
	ready, _ := o.condition("Ready")
	return o.Metadata.Labels["arl.infra.io/status"] == "idle" && o.Metadata.Deletion == "" && ready == "True"
}

// podClass is the class under which a pod is counted.
func (b *bench) podClass(o *object) string {
	switch {
	case isWarm(o) && o.Metadata.Labels[labelRoll] == b.roll:
		return "warm"
	case b.floor.isIdle(o):
		return "floor"
	}
	return "other"
}

// settle waits until both pools are full and no pod is being started or ended, so that a sample does not
// pay for the one before it.
func (b *bench) settle() error {
	want := fmt.Sprintf("pools of %d and %d ready pods, and %d of sandboxes", b.size, b.floor.size, b.kept)
	err := b.pods.until(b.limit, want, func() bool {
		return b.pods.count["warm"] == b.size && b.pods.count["floor"] == b.floor.size &&
			len(b.pods.objs) == b.size+b.floor.size+b.kept
	})
	time.Sleep(200 * time.Millisecond)
	return err
}

// resize brings both pools to so many idle pods.
func (b *bench) resize(n int) error {
	if err := b.resizePool(n); err != nil {
		return err
	}
	if err := b.floor.resize(n); err != nil {
		return err
	}
	return b.settle()
}

// resizePool brings arl's pool to so many idle pods. The first time, the floor copies one of them for its own pods.
func (b *bench) resizePool(n int) error {
	var err error
	if b.size == 0 {
		_, err = b.client.create(b.path(api, "warmpools", ""), b.poolObject(n))
	} else {
		_, err = b.client.patch(b.path(api, "warmpools", poolName), fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n))
	}
	if err != nil {
		return err
	}
	b.size = n
	err = b.pods.until(b.limit, fmt.Sprintf("%d warm pods", n), func() bool { return b.pods.count["warm"] == n })
	if err != nil || b.floor.podSpec != nil {
		return err
	}
	for _, o := range b.pods.snapshot() {
		if isWarm(o) {
			return b.floor.copyPod(o)
		}
	}
	return errors.New("the warm pod vanished")
}

func (b *bench) removeSandboxes(names []string) error {
	return parallel(refillWidth, len(names), func(i int) error {
		return b.client.remove(b.path(api, "sandboxes", names[i]))
	})
}

func (b *bench) removeTasks(api string, names []string) error {
	return parallel(refillWidth, len(names), func(i int) error {
		return b.client.remove(b.path(api, "tasks", names[i]))
	})
}

// removeRest removes what a run that was cut off has left.
func (b *bench) removeRest() {
	if err := b.client.get("/api/v1/namespaces/"+b.namespace, &object{}); err == nil {
		b.cleanup()
	}
}

func (b *bench) prepare(crds string) error {
	b.removeRest()
	return b.install(crds)
}

// install makes the namespace, the floor's kinds and the watches.
func (b *bench) install(crds string) error {
	ns := map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": meta(b.namespace)}
	if _, err := b.client.create("/api/v1/namespaces", ns); err != nil {
		return err
	}
	var err error
	if b.pods, err = b.watchAll("/api/v1", "pods"); err != nil {
		return err
	}
	if b.sandboxes, err = b.watchAll(api, "sandboxes"); err != nil {
		return err
	}
	if b.tasks, err = b.watchAll(api, "tasks"); err != nil {
		return err
	}
	return b.floor.install(crds)
}

func (b *bench) cleanup() {
	b.client.remove(b.path(api, "warmpools", poolName)) // first, or it refills while the namespace goes
	b.client.remove("/api/v1/namespaces/" + b.namespace)
	b.floor.uninstall()
	poll(b.limit, "the namespace to vanish", func() bool {
		return hasStatus(b.client.get("/api/v1/namespaces/"+b.namespace, &object{}), 404)
	})
}

// first is the first of several joined errors: the others mostly say the same.
func first(err error) string {
	if err == nil {
		return ""
	}
	line, rest, _ := strings.Cut(err.Error(), "\n")
	if rest != "" {
		line += fmt.Sprintf(" (and %d more)", strings.Count(rest, "\n")+1)
	}
	return line
}
