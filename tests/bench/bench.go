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
	namespace = "arl-bench"
	poolName  = "bench"
	limit     = 3 * time.Minute
)

// bench is one run: connections, watches and what is there.
type bench struct {
	sizes     sizes
	client    *conn // as a user of arl
	server    func() *conn
	pods      *watch
	sandboxes *watch
	tasks     *watch
	floor     *floor
	procs     *processes
	size      int // replicas of each of the two pools
	kept      int // pods of sandboxes that live on
	serial    int
	report    *report
}

func (b *bench) path(api, plural, name string) string {
	p := fmt.Sprintf("%s/namespaces/%s/%s", api, namespace, plural)
	if name != "" {
		p += "/" + name
	}
	return p
}

func (b *bench) podsPath() string { return b.path("/api/v1", "pods", "") }

// watchAll watches a kind on a connection of its own.
func (b *bench) watchAll(api, plural string) (*watch, error) {
	return b.server().watch(b.path(api, plural, ""))
}

func (b *bench) name(prefix string) string {
	b.serial++
	return fmt.Sprintf("%s-%05d", prefix, b.serial)
}

func meta(name string) map[string]any { return map[string]any{"name": name, "namespace": namespace} }

func poolObject(replicas int) map[string]any {
	return map[string]any{
		"apiVersion": group + "/v1alpha1", "kind": "WarmPool", "metadata": meta(poolName),
		"spec": map[string]any{"replicas": replicas, "template": map[string]any{
			// Releases before the copy of the image's /workspace do without it, too.
			"metadata": map[string]any{"annotations": map[string]any{group + "/copy-workspace": "false"}},
			"spec": map[string]any{
				"terminationGracePeriodSeconds": 2,
				"containers": []any{map[string]any{
					"name": "executor", "image": "localhost/arl/busybox:1", "command": []string{"/bin/sh", "-c", "sleep infinity"},
					"imagePullPolicy": "IfNotPresent",
				}},
			}}},
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
	case <-time.After(time.Minute):
		return 0, fmt.Errorf("sandbox %s was not Ready within a minute", name)
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

// settle waits until both pools are full and nothing is being started or ended, so that no sample pays
// for the one before it.
func (b *bench) settle() error {
	err := b.pods.until(limit, fmt.Sprintf("two pools of %d ready pods", b.size), func(all map[string]*object) bool {
		warm, idle := 0, 0
		for _, o := range all {
			if isWarm(o) {
				warm++
			} else if b.floor.isIdle(o) {
				idle++
			}
		}
		return warm == b.size && idle == b.size && len(all) == 2*b.size+b.kept
	})
	time.Sleep(200 * time.Millisecond)
	return err
}

// resize brings both pools to so many idle pods.
func (b *bench) resize(n int) error {
	if b.size == 0 {
		if _, err := b.client.create(b.path(api, "warmpools", ""), poolObject(n)); err != nil {
			return err
		}
		if err := b.firstPods(n); err != nil {
			return err
		}
	} else {
		body := fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n)
		if _, err := b.client.patch(b.path(api, "warmpools", poolName), body); err != nil {
			return err
		}
	}
	if err := b.floor.fill(n - b.size); err != nil {
		return err
	}
	b.size = n
	return b.settle()
}

// firstPods waits for arl's first pods and takes one of them as the pattern of the floor's.
func (b *bench) firstPods(n int) error {
	err := b.pods.until(limit, fmt.Sprintf("%d warm pods", n), func(all map[string]*object) bool {
		warm := 0
		for _, o := range all {
			if isWarm(o) {
				warm++
			}
		}
		return warm == n
	})
	if err != nil {
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

// prepare makes the namespace, the floor's kinds and the watches. What a run that was cut off has left
// is removed first.
func (b *bench) prepare(crds string) error {
	if err := b.client.get("/api/v1/namespaces/"+namespace, &object{}); err == nil {
		b.cleanup()
	}
	ns := map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace}}
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
	b.client.remove("/api/v1/namespaces/" + namespace)
	b.floor.uninstall()
	poll(limit, "the namespace to vanish", func() bool {
		return hasStatus(b.client.get("/api/v1/namespaces/"+namespace, &object{}), 404)
	})
}

// first writes the reason that a person needs, not a page of the same ones.
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
