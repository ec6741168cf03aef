package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// conn is one kept-alive connection to the API server, of one role: the client's requests, its
// watches and the floor's operator do not share one, as they would not in real life.
type conn struct {
	server string
	http   *http.Client
	mu     sync.Mutex
	writes map[string]int // "VERB group/resource/subresource", as the server's metrics count them
}

// statusError is an answer other than 2xx.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return fmt.Sprintf("status %d: %.300s", e.code, e.text) }

func hasStatus(err error, code int) bool {
	var se *statusError
	return errors.As(err, &se) && se.code == code
}

type kubeconfig struct {
	Current  string `json:"current-context"`
	Contexts []struct {
		Name    string
		Context struct{ Cluster, User string }
	}
	Clusters []struct {
		Name    string
		Cluster struct {
			Server string
			CA     string `json:"certificate-authority-data"`
			CAFile string `json:"certificate-authority"`
		}
	}
	Users []struct {
		Name string
		User struct {
			Cert     string `json:"client-certificate-data"`
			Key      string `json:"client-key-data"`
			CertFile string `json:"client-certificate"`
			KeyFile  string `json:"client-key"`
		}
	}
}

func pem(data, file string) ([]byte, error) {
	if data != "" {
		return base64.StdEncoding.DecodeString(data)
	}
	return os.ReadFile(file)
}

// loadConfig reads the output of `kubectl config view --raw -o json`: only client certificates are
// understood, which is what the local cluster has.
func loadConfig(file string) (server string, conf *tls.Config, err error) {
	var k kubeconfig
	text, err := os.ReadFile(file)
	if err != nil {
		return "", nil, err
	}
	if err := json.Unmarshal(text, &k); err != nil {
		return "", nil, err
	}
	conf = &tls.Config{RootCAs: x509.NewCertPool(), ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	for _, c := range k.Contexts {
		if c.Name != k.Current {
			continue
		}
		for _, cl := range k.Clusters {
			if cl.Name == c.Context.Cluster {
				server = cl.Cluster.Server
				ca, err := pem(cl.Cluster.CA, cl.Cluster.CAFile)
				if err != nil {
					return "", nil, err
				}
				conf.RootCAs.AppendCertsFromPEM(ca)
			}
		}
		for _, u := range k.Users {
			if u.Name != c.Context.User {
				continue
			}
			cert, err := pem(u.User.Cert, u.User.CertFile)
			if err != nil {
				return "", nil, err
			}
			key, err := pem(u.User.Key, u.User.KeyFile)
			if err != nil {
				return "", nil, err
			}
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				return "", nil, err
			}
			conf.Certificates = []tls.Certificate{pair}
		}
	}
	if server == "" || len(conf.Certificates) == 0 {
		return "", nil, errors.New("the kubeconfig's current context has no server or no client certificate")
	}
	return server, conf, nil
}

func newConn(server string, conf *tls.Config) *conn {
	t := &http.Transport{TLSClientConfig: conf.Clone(), ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64}
	return &conn{server: server, http: &http.Client{Transport: t}, writes: map[string]int{}}
}

const (
	typeJSON  = "application/json"
	typeMerge = "application/merge-patch+json"
	typeYAML  = "application/yaml"
)

// request sends one request and gives back the answer's body.
func (c *conn) request(method, path, contentType string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", typeJSON)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if method != http.MethodGet {
		c.mu.Lock()
		c.writes[writeKey(method, path)]++
		c.mu.Unlock()
	}
	if resp.StatusCode/100 != 2 {
		return text, &statusError{resp.StatusCode, string(text)}
	}
	return text, nil
}

// writeKey names a request as the API server's metrics do.
func writeKey(method, path string) string {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(strings.Trim(path, "/"), "/")
	group := ""
	if parts[0] == "apis" {
		group, parts = parts[1], parts[3:]
	} else {
		parts = parts[2:]
	}
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	key := method + " " + group + "/" + parts[0]
	if len(parts) > 2 {
		key += "/" + parts[2]
	}
	return key
}

func (c *conn) counts() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := map[string]int{}
	for k, n := range c.writes {
		m[k] = n
	}
	return m
}

func (c *conn) get(path string, into any) error {
	text, err := c.request(http.MethodGet, path, "", nil)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return json.Unmarshal(text, into)
}

func (c *conn) create(path string, obj any) (*object, error) {
	text, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	return decode(c.request(http.MethodPost, path, typeJSON, text))
}

func (c *conn) patch(path string, body []byte) (*object, error) {
	return decode(c.request(http.MethodPatch, path, typeMerge, body))
}

// remove deletes; that something is gone already is fine.
func (c *conn) remove(path string) error {
	_, err := c.request(http.MethodDelete, path, typeJSON, nil)
	if hasStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}

// object is what the benchmark reads of any kind.
type object struct {
	Metadata struct {
		Name            string            `json:"name"`
		UID             string            `json:"uid"`
		ResourceVersion string            `json:"resourceVersion"`
		Labels          map[string]string `json:"labels"`
		Annotations     map[string]string `json:"annotations"`
		Deletion        string            `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec   json.RawMessage `json:"spec"`
	Status struct {
		Phase         string `json:"phase"`
		PodName       string `json:"podName"`
		PodUID        string `json:"podUID"`
		PodIP         string `json:"podIP"`
		State         string `json:"state"`
		ExitCode      *int   `json:"exitCode"`
		Stdout        string `json:"stdout"`
		Stderr        string `json:"stderr"`
		Duration      string `json:"duration"`
		ReadyReplicas int    `json:"readyReplicas"`
		Conditions    []struct{ Type, Status, Reason, Message string }
	} `json:"status"`
}

func decode(text []byte, err error) (*object, error) {
	if err != nil {
		return nil, err
	}
	o := &object{}
	return o, json.Unmarshal(text, o)
}

// condition returns the status of a condition and the sentence that goes with it.
func (o *object) condition(kind string) (status, message string) {
	for _, c := range o.Status.Conditions {
		if c.Type == kind {
			return c.Status, c.Message
		}
	}
	return "", ""
}

// watch follows all objects under a path. One goroutine reads; the time of an event is the time at
// which its line was complete, before it is decoded.
type watch struct {
	mu      sync.Mutex
	changed *sync.Cond
	objs    map[string]*object
	waiters map[string]waiter
	states  map[string]int // how many changes left a task in each state
	class   func(*object) string
	count   map[string]int // how many objects there are of each class
	version string         // resourceVersion of the last event; only the reading goroutine uses it
	open    func() (io.ReadCloser, error)
	err     error
}

type waiter struct {
	is func(*object) bool
	ch chan seen
}

type seen struct {
	at  time.Time
	obj *object
}

// watch follows the objects under a path and counts them by class. So a wait for thousands of objects need
// not look at each of them after each change.
func (c *conn) watch(path string, class func(*object) string) (*watch, error) {
	var list struct {
		Metadata struct{ ResourceVersion string }
		Items    []*object
	}
	if err := c.get(path, &list); err != nil {
		return nil, err
	}
	w := &watch{objs: map[string]*object{}, waiters: map[string]waiter{}, states: map[string]int{}, class: class,
		count: map[string]int{}}
	w.changed = sync.NewCond(&w.mu)
	for _, o := range list.Items {
		w.objs[o.Metadata.Name] = o
		w.count[class(o)]++
	}
	w.version = list.Metadata.ResourceVersion
	w.open = func() (io.ReadCloser, error) { return c.openWatch(path, w.version) }
	body, err := w.open()
	if err != nil {
		return nil, err
	}
	go w.read(body)
	return w, nil
}

func (c *conn) openWatch(path, version string) (io.ReadCloser, error) {
	url := fmt.Sprintf("%s%s?watch=1&allowWatchBookmarks=true&timeoutSeconds=7200&resourceVersion=%s", c.server, path, version)
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("watch of %s: %s", path, resp.Status)
	}
	return resp.Body, nil
}

// read goes on where a watch has ended: the API server ends those that read too slowly on a busy
// machine, and those of a kind that has just been made.
func (w *watch) read(body io.ReadCloser) {
	const again, pause = 20, 50 * time.Millisecond
	var err error
	for ends := 0; ends < again; ends++ {
		before := w.version
		if err = w.lines(body); err != nil {
			break
		}
		if w.version != before {
			ends = 0
		}
		time.Sleep(pause)
		if body, err = w.open(); err != nil {
			break
		}
	}
	if err == nil {
		err = errors.New("again and again")
	}
	w.mu.Lock()
	w.err = fmt.Errorf("the watch ended: %w", err)
	w.changed.Broadcast()
	w.mu.Unlock()
}

// lines takes all events until the stream ends.
func (w *watch) lines(body io.ReadCloser) error {
	defer body.Close()
	r := bufio.NewReaderSize(body, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		at := time.Now()
		if err != nil {
			return nil
		}
		if err := w.event(line, at); err != nil {
			return err
		}
	}
}

func (w *watch) event(line []byte, at time.Time) error {
	var e struct {
		Type   string
		Object *object
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	if e.Type == "ERROR" {
		return errors.New(string(line))
	}
	w.version = e.Object.Metadata.ResourceVersion
	if e.Type == "BOOKMARK" {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	name := e.Object.Metadata.Name
	if e.Type == "MODIFIED" {
		w.states[e.Object.Status.State]++
	}
	if was := w.objs[name]; was != nil {
		w.count[w.class(was)]--
	}
	if e.Type == "DELETED" {
		delete(w.objs, name)
	} else {
		w.objs[name] = e.Object
		w.count[w.class(e.Object)]++
	}
	if wait, ok := w.waiters[name]; ok && e.Type != "DELETED" && wait.is(e.Object) {
		delete(w.waiters, name)
		wait.ch <- seen{at, e.Object}
	}
	w.changed.Broadcast()
	return nil
}

// expect registers interest in an object before it is made.
func (w *watch) expect(name string, is func(*object) bool) <-chan seen {
	ch := make(chan seen, 1)
	w.mu.Lock()
	w.waiters[name] = waiter{is, ch}
	w.mu.Unlock()
	return ch
}

// progress counts the writes that only said how far a task was.
func (w *watch) progress() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.states["Pending"] + w.states["Running"]
}

// recount calls change, after which objects may have other classes, and counts all of them anew.
func (w *watch) recount(change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	clear(w.count)
	for _, o := range w.objs {
		w.count[w.class(o)]++
	}
}

// until waits until is() returns true. It calls is() under the lock of the objects and counts.
func (w *watch) until(limit time.Duration, what string, is func() bool) error {
	late := false
	t := time.AfterFunc(limit, func() {
		w.mu.Lock()
		late = true
		w.changed.Broadcast()
		w.mu.Unlock()
	})
	defer t.Stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	for !is() {
		if w.err != nil {
			return w.err
		}
		if late {
			return fmt.Errorf("gave up after %v waiting for %s", limit, what)
		}
		w.changed.Wait()
	}
	return nil
}

func (w *watch) snapshot() []*object {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]*object, 0, len(w.objs))
	for _, o := range w.objs {
		all = append(all, o)
	}
	return all
}
