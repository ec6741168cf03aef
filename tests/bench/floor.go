package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The floor: what an operator would reach that needs no time to think. It makes the same writes with the
// same bodies, on pods that are copies of arl's, and on kinds with the same schemas. These kinds are in
// another group, so that arl's operator does not act on them.
const (
	floorGroup = "bench.arl.infra.io"
	floorAPI   = "/apis/" + floorGroup + "/v1alpha1"
	labelPool  = "bench.arl.infra.io/pool"
	labelState = "bench.arl.infra.io/status"
	labelOwner = "bench.arl.infra.io/sandbox"
	// arl's operator holds refills back for this time after the claims of a burst.
	refillHold = 300 * time.Millisecond
	// arl's operator makes so many pods at once when no claims come.
	refillWidth = 16
)

type floor struct {
	b          *bench
	op         *conn // the floor's connection as the operator
	sandboxes  *watch
	tasks      *watch
	podLabels  map[string]string
	podNotes   map[string]string
	podSpec    json.RawMessage
	taskStatus json.RawMessage // the status of a real task that has ended
	size       int             // how many idle pods there should be
	made       atomic.Int64
}

// floorKinds are the project's kinds in the floor's group.
func floorKinds(dir string) (map[string][]byte, error) {
	kinds := map[string][]byte{}
	for _, plural := range []string{"sandboxes", "tasks"} {
		text, err := os.ReadFile(filepath.Join(dir, "arl.infra.io_"+plural+".yaml"))
		if err != nil {
			return nil, err
		}
		changed := strings.ReplaceAll(string(text), "arl.infra.io", floorGroup)
		changed = strings.ReplaceAll(changed, "categories: [arl]", "categories: []")
		kinds[plural+"."+floorGroup] = []byte(changed)
	}
	return kinds, nil
}

const crdPath = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

func (f *floor) install(dir string) error {
	kinds, err := floorKinds(dir)
	if err != nil {
		return err
	}
	for name, text := range kinds {
		if _, err := f.b.client.request("POST", crdPath, typeYAML, text); err != nil && !hasStatus(err, 409) {
			return err
		}
		plural, _, _ := strings.Cut(name, ".")
		err := poll(30*time.Second, name+" to be served", func() bool {
			return f.b.client.get(f.b.path(floorAPI, plural, ""), &object{}) == nil
		})
		if err != nil {
			return err
		}
	}
	if f.sandboxes, err = f.b.watchAll(floorAPI, "sandboxes"); err != nil {
		return err
	}
	f.tasks, err = f.b.watchAll(floorAPI, "tasks")
	return err
}

func (f *floor) uninstall() {
	for _, plural := range []string{"sandboxes", "tasks"} {
		path := crdPath + "/" + plural + "." + floorGroup
		f.b.client.remove(path)
		poll(f.b.limit, plural+" to be unknown", func() bool { return hasStatus(f.b.client.get(path, &object{}), 404) })
	}
}

// copyPod takes a warm pod of arl's as the pattern of the floor's pods.
func (f *floor) copyPod(pod *object) error {
	var spec map[string]any
	if err := json.Unmarshal(pod.Spec, &spec); err != nil {
		return err
	}
	delete(spec, "nodeName")
	text, err := json.Marshal(spec)
	f.podSpec = text
	f.podNotes = pod.Metadata.Annotations
	f.podLabels = map[string]string{labelPool: "floor", labelState: "idle"}
	for k, v := range pod.Metadata.Labels {
		if !strings.HasPrefix(k, "arl.infra.io/") {
			f.podLabels[k] = v
		}
	}
	return err
}

// fill makes n further pods.
func (f *floor) fill(n int) error {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("floor-%05d", f.made.Add(1))
	}
	return parallel(refillWidth, n, func(i int) error {
		_, err := f.op.create(f.b.podsPath(), map[string]any{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{"name": names[i], "labels": f.podLabels, "annotations": f.podNotes},
			"spec":     f.podSpec,
		})
		return err
	})
}

// resize brings the floor's pool to so many idle pods.
func (f *floor) resize(n int) error {
	var err error
	if n >= f.size {
		err = f.fill(n - f.size)
	} else {
		surplus := f.idle()[n:]
		err = parallel(refillWidth, len(surplus), func(i int) error {
			return f.op.remove(f.b.podsPath() + "/" + surplus[i].Metadata.Name)
		})
	}
	if err != nil {
		return err
	}
	f.size = n
	return f.b.pods.until(f.b.limit, fmt.Sprintf("%d pods of the floor", n), func() bool {
		return f.b.pods.count["floor"] == n
	})
}

func (f *floor) isIdle(o *object) bool {
	ready, _ := o.condition("Ready")
	return o.Metadata.Labels[labelState] == "idle" && o.Metadata.Deletion == "" && ready == "True"
}

func (f *floor) idle() []*object {
	var idle []*object
	for _, o := range f.b.pods.snapshot() {
		if f.isIdle(o) {
			idle = append(idle, o)
		}
	}
	return idle
}

// Bodies with the fields of arl's own, in their order.
func claimPatch(pod, sandbox *object) []byte {
	return fmt.Appendf(nil, `{"metadata":{"uid":%q,"resourceVersion":%q,"labels":{%q:"allocated",%q:%q},`+
		`"ownerReferences":[{"apiVersion":"%s/v1alpha1","kind":"Sandbox","name":%q,"uid":%q,`+
		`"controller":true,"blockOwnerDeletion":false}]}}`, pod.Metadata.UID, pod.Metadata.ResourceVersion, labelState,
		labelOwner, sandbox.Metadata.Name, floorGroup, sandbox.Metadata.Name, sandbox.Metadata.UID)
}

func readyPatch(pod, sandbox *object) []byte {
	return fmt.Appendf(nil, `{"metadata":{"uid":%q},"status":{"phase":"Ready","podName":%q,"podUID":%q,"podIP":%q,`+
		`"workDir":"/workspace","observedGeneration":1,"conditions":[{"type":"Ready","status":"True",`+
		`"observedGeneration":1,"lastTransitionTime":%q,"reason":"PodReady","message":"the agent in the pod answers"}]}}`,
		sandbox.Metadata.UID, pod.Metadata.Name, pod.Metadata.UID, pod.Status.PodIP,
		time.Now().UTC().Format(time.RFC3339))
}

// claim is one sandbox made by hand, until its readiness is seen on the watch.
func (f *floor) claim(name string, pod *object) (time.Duration, error) {
	path := f.b.path(floorAPI, "sandboxes", "")
	ready := f.sandboxes.expect(name, func(o *object) bool { return o.Status.Phase == "Ready" })
	start := time.Now()
	sandbox, err := f.b.client.create(path, sandboxObject(floorGroup, name, "floor"))
	if err != nil {
		return 0, err
	}
	for {
		_, err = f.op.patch(f.b.podsPath()+"/"+pod.Metadata.Name, claimPatch(pod, sandbox))
		if !hasStatus(err, 409) {
			break
		}
		if err = f.b.client.get(f.b.podsPath()+"/"+pod.Metadata.Name, pod); err != nil {
			return 0, err
		}
	}
	if err != nil {
		return 0, err
	}
	if _, err := f.op.patch(path+"/"+name+"/status", readyPatch(pod, sandbox)); err != nil {
		return 0, err
	}
	return elapsed(start, ready, f.b.limit)
}

// task is one task made by hand; its status is that of a real one.
func (f *floor) task(name, sandbox string, command []string) (time.Duration, error) {
	path := f.b.path(floorAPI, "tasks", "")
	over := f.tasks.expect(name, isFinished)
	start := time.Now()
	t, err := f.b.client.create(path, taskObject(floorGroup, name, sandbox, command))
	if err != nil {
		return 0, err
	}
	body := fmt.Appendf(nil, `{"metadata":{"uid":%q},"status":%s}`, t.Metadata.UID, f.taskStatus)
	if _, err := f.op.patch(path+"/"+name+"/status", body); err != nil {
		return 0, err
	}
	return elapsed(start, over, f.b.limit)
}

// drop deletes sandboxes and their pods, as the operator does when a sandbox is deleted.
func (f *floor) drop(names []string, pods []*object) error {
	return parallel(refillWidth, len(names), func(i int) error {
		return errors.Join(f.b.client.remove(f.b.path(floorAPI, "sandboxes", names[i])),
			f.op.remove(f.b.podsPath()+"/"+pods[i].Metadata.Name))
	})
}

func elapsed(start time.Time, ch <-chan seen, limit time.Duration) (time.Duration, error) {
	select {
	case s := <-ch:
		return s.at.Sub(start), nil
	case <-time.After(limit):
		return 0, fmt.Errorf("not seen within %v", limit)
	}
}

// parallel runs do(0..n-1), so many at once; 0 is all.
func parallel(width, n int, do func(i int) error) error {
	if width == 0 {
		width = n
	}
	errs := make([]error, n)
	gate := make(chan struct{}, max(width, 1))
	var wg sync.WaitGroup
	for i := range n {
		wg.Add(1)
		go func() {
			defer wg.Done()
			gate <- struct{}{}
			errs[i] = do(i)
			<-gate
		}()
	}
	wg.Wait()
	return errors.Join(errs...)
}

func poll(limit time.Duration, what string, is func() bool) error {
	end := time.Now().Add(limit)
	for !is() {
		if time.Now().After(end) {
			return fmt.Errorf("gave up after %v waiting for %s", limit, what)
		}
		time.Sleep(100 * time.Millisecond)
	}
	return nil
}
