"""Hostile code in a pod tries the agent's endpoints, its socket and secrets. It gets nothing, and the agent still serves the operator."""
import base64
import io
import json
import time

import tools
from harness import case, contains, equal, expect, path_of, sh, shorten, wait
from tools import INTEG, figure

SLOW_CONNECTIONS = 500

# Sends the requests of requests.json. Prints a line for each: its name, the status, and the body if the answer is sealed.
SENDER = r"""
import base64, json, socket, sys
for what, raw in json.load(open('requests.json')):
    s = socket.create_connection(('127.0.0.1', 27182), 20)
    s.sendall(base64.b64decode(raw))
    answer = b''
    try:
        while more := s.recv(65536):
            answer += more
    except OSError as e:
        answer = b'x ' + repr(e).encode()
    s.close()
    head, _, body = answer.partition(b'\r\n\r\n')
    sealed = base64.b64encode(body).decode() if b'vnd.arl.sealed' in head else ''
    print(what, (answer.split() + [b'closed', b'closed'])[1].decode(), sealed, sep='\t')
"""


class Signer:
    """The operator's signing key, from its Secret: for requests that are signed and sealed as the operator's are."""

    def __init__(self, t):
        secret = t.api.get(f"/api/v1/namespaces/{tools.SYSTEM}/secrets/arl-signing-key")
        self.text = base64.b64decode(secret["data"]["key"]).decode().strip()
        key_id, seed = self.text.split(":")
        self.key = INTEG.Key()
        INTEG.SODIUM.crypto_sign_seed_keypair(self.key.public, self.key.secret, base64.urlsafe_b64decode(seed + "=="))
        self.key.id = key_id


def agent_key(pod):
    """The public key of the pod's agent, from the message of the container arl-init."""
    state = [s["state"] for s in pod["status"]["initContainerStatuses"] if s["name"] == "arl-init"][0]
    message = state["terminated"]["message"]
    expect(len(message) == 14 + 43 and message.startswith("arl-agent-key:"), f"the message of arl-init: {message!r}")
    return INTEG.channel.unurl64(message[14:])


def raw(method, target, headers, body=b"", length=None):
    head = {"Host": "pod", "Connection": "close", "Content-Length": str(len(body) if length is None else length), **headers}
    text = f"{method} {target} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in head.items() if v is not None)
    return base64.b64encode(text.encode() + b"\r\n" + body).decode()


def forgeries(signer, agent, pod, sandbox, uid):
    """Yields a request for each endpoint and each way to get a signature wrong: its name, its bytes, the status that it must get, and
    the request that can open a sealed answer."""
    body = json.dumps({"sandboxUID": sandbox, "task": "x/intruder", "workDir": "/workspace", "timeoutMs": 5000, "outputLimit": 1024,
                       "steps": [sh("touch /workspace/intruder")]}).encode()
    other = INTEG.Key()
    named = INTEG.Key()
    named.id = signer.key.id
    for method, target, data in (("PUT", f"/v1/tasks/{uid}/1?after=0", body), ("GET", f"/v1/tasks/{uid}/1?after=0", b""),
                                 ("DELETE", f"/v1/tasks/{uid}/1", b""), ("GET", "/v1/tasks", b""),
                                 ("POST", "/v1/acknowledged", json.dumps({"attempts": [f"{uid}/1"]}).encode()), ("GET", "/metrics", b""),
                                 ("GET", "/nothing/here", b"")):
        def sign(key=signer.key, method=method, target=target, data=data, **more):
            return INTEG.Request(key, agent, method, target, data, **{"pod": pod, "sandbox": sandbox, **more})
        q = sign()
        good, sealed = q.headers, q.body

        def made(what, headers=good, method=method, target=target, body=sealed, due="401", opener=None, **more):
            return f"{method} {target.split('?')[0].replace(uid, 'UID')} {what}", raw(method, target, headers, body, **more), due, opener

        def whole(what, q):
            return made(what, q.headers, body=q.body)
        yield made("unsigned", {})
        yield whole("signed by another key", sign(other))
        yield whole("signed by another key under this one's name", sign(named))
        yield whole("for another pod", sign(pod="00000000-0000-4000-8000-000000000000"))
        yield made("with somebody else's key for the answer", {**good, "Arl-Operator-Key": other.operator.text})
        yield made("without a key for the answer", {**good, "Arl-Operator-Key": None}, due="426")
        yield made("for another sandbox than it says", {**good, "Arl-Sandbox-Uid": "00000000-0000-4000-8000-000000000000"})
        yield whole("of yesterday", sign(created=time.time() - 86400))
        yield whole("of six minutes ahead", sign(created=time.time() + 360))
        yield made("with a signature cut short", {**good, "Signature": good["Signature"][:-20] + ":"})
        yield made("with a signature cut off", {**good, "Signature": good["Signature"][:30]})
        yield made("with its parameters cut off", {**good, "Signature-Input": good["Signature-Input"][:60]})
        yield made("without a digest", {**good, "Content-Digest": None})
        yield made("with one bit of the signature changed", {**good, "Signature": flipped(good["Signature"])})
        yield made("with another method", method="DELETE" if method != "DELETE" else "PUT")
        yield made("with another path", target=target + "0")
        # An endpoint without a body refuses by the Content-Length, before it compares the digest. The head is correctly signed, so the
        # refusal is sealed.
        yield made("with another body", body=sealed + b" ", **({} if data else {"due": "sealed 413", "opener": q}))
        if data:
            yield made("with half of its body", length=len(sealed) // 2)
            clear = INTEG.signed_headers(signer.key, method, target, data, pod=pod, sandbox=sandbox)
            yield made("with a body in the clear", clear, body=data, due="426")


def status_of(status, sealed, opener=None):
    """The status in the head of the answer; if the answer is sealed and opener is given, "sealed" and the status inside."""
    if not opener or status != "200":
        return status
    return f"sealed {INTEG.channel.Answer(io.BytesIO(base64.b64decode(sealed)), opener.answer_key).status}"


def flipped(signature):
    return signature[:20] + ("A" if signature[20] != "A" else "B") + signature[21:]


@case(shared=True)
def every_endpoint_refuses_what_the_operator_did_not_sign(t):
    box = t.box()
    pod, sandbox, agent = t.pod_of(box)["metadata"]["uid"], t.get("Sandbox", box)["metadata"]["uid"], agent_key(t.pod_of(box))
    signer = Signer(t)
    first = t.task(box, sh("echo first"))
    t.finished(first)
    uid = t.get("Task", first)["metadata"]["uid"]
    good = raw("GET", "/v1/tasks", INTEG.Request(signer.key, agent, "GET", "/v1/tasks", pod=pod, sandbox=sandbox).headers)
    # First a good request, which shows that the others fail for their own reasons; then the good one again, twice.
    requests = [("a good one", good, "200", None), ("the same, replayed", good, "401", None), ("and again", good, "401", None)]
    requests += list(forgeries(signer, agent, pod, sandbox, "6b9b6f0e-0000-4000-8000-000000000001"))
    requests += [("no HTTP", base64.b64encode(b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n").decode(), None, None),
                 ("the open ones", raw("GET", "/healthz", {}), "200", None), ("are two", raw("GET", "/readyz", {}), "200", None)]
    s = t.run(box, {"name": "write", "type": "FilePatch", "path": "requests.json", "content": json.dumps([r[:2] for r in requests])},
              {"name": "program", "type": "FilePatch", "path": "send.py", "content": SENDER}, INTEG.command("python3", "send.py"),
              sh("ls; rm requests.json send.py"), limit=100)
    equal(s["state"], "Succeeded", f"state ({shorten(s.get('stderr'))})")
    openers = {what: opener for what, _, _, opener in requests}
    answers = (line.split("\t") for line in s["steps"][2]["stdout"].splitlines())
    got = {what: status_of(status, sealed, openers[what]) for what, status, sealed in answers}
    wrong = {what: got.get(what) for what, _, want, _ in requests if want and got.get(what) != want}
    expect(not wrong, f"{len(wrong)} of {len(requests)} were answered otherwise than they should: {wrong}")
    expect(got["no HTTP"] in ("400", "closed"), f"what is no HTTP: {got['no HTTP']}")
    equal(s["steps"][3]["stdout"], "requests.json\nsend.py\n", "files in the workspace")
    figure(f"{len(requests)} requests from inside of a pod, {sum(v == '401' for v in got.values())} refused with 401")
    # The operator's own signature for another sandbox is refused as well.
    target = f"/v1/tasks/{uid}/1"
    q = INTEG.Request(signer.key, agent, "DELETE", target, pod=pod, sandbox="00000000-0000-4000-8000-000000000000")
    s = t.run(box, {"name": "w", "type": "FilePatch", "path": "requests.json", "content": json.dumps([("other", raw("DELETE", target, q.headers))])},
              {"name": "program", "type": "FilePatch", "path": "send.py", "content": SENDER}, INTEG.command("python3", "send.py"))
    what, *answer = s["steps"][2]["stdout"].rstrip("\n").split("\t")
    equal((what, status_of(*answer, q)), ("other", "sealed 403"), "a signed request for a sandbox that this pod does not serve")


SLOW = r"""
import os, resource, select, socket, sys, time
n, lasting = int(sys.argv[1]), float(sys.argv[2])
resource.setrlimit(resource.RLIMIT_NOFILE, (n + 100, max(n + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
held, opened, end = {}, 0, time.monotonic() + lasting
head = b'PUT /v1/tasks/6b9b6f0e-0000-4000-8000-000000000001/1 HTTP/1.1\r\nHost: pod\r\nContent-Length: 100000\r\nX-Slow: '
while time.monotonic() < end:
    while len(held) < n:
        s = socket.socket(); s.setblocking(False)
        s.connect_ex(('127.0.0.1', 27182))
        held[s.fileno()] = (s, len(held) + opened); opened += 1
    for s, i in list(held.values()):
        try:
            # A third says nothing, a third half of a head and then a byte now and then, a third a head and half of a body.
            s.send((b'a' if i % 3 == 1 else b'') if i < 0 else head if i % 3 == 1 else head + b'x\r\n\r\nbody' if i % 3 == 2 else b'')
            held[s.fileno()] = (s, -3 + i % 3 if i >= 0 else i)
            if s.recv(4096) == b'': raise ConnectionError
        except BlockingIOError:
            pass
        except OSError:
            del held[s.fileno()]; s.close()
    if os.path.exists('slow.stop'): break
    open('slow.held', 'w').write(f'{len(held)} {opened}')
    time.sleep(0.2)
open('slow.end', 'w').write('end')
"""


@case(shared=True, alone=True)
def slow_connections_hold_up_nobody(t):
    """A daemon that a step has left behind holds slow connections to the agent, and opens cut ones again. Tasks are served meanwhile.

    The operator is restarted first, so that it must open new connections to the agent."""
    box = t.box()
    s = t.run(box, {"name": "program", "type": "FilePatch", "path": "slow.py", "content": SLOW},
              sh(f"setsid python3 slow.py {SLOW_CONNECTIONS} 300 >slow.log 2>&1 & for i in $(seq 100); do [ -s slow.held ] && break; sleep 0.1; done; cat slow.held"))
    equal(s["state"], "Succeeded", "state")
    expect(int(s["steps"][1]["stdout"].split()[1]) >= SLOW_CONNECTIONS, f"connections held and opened: {s['steps'][1]['stdout']}")
    t.env.operator.kill()
    t.env.operator_answers()
    took = []
    for i in range(8):
        began = time.monotonic()
        equal(t.out(box, sh(f"echo {i}")), f"{i}\n", "a task's stdout meanwhile")
        took.append(time.monotonic() - began)
        time.sleep(0.5)
    out = t.out(box, sh("cat slow.held; echo; ls; cat slow.log; touch slow.stop"))
    contains(out, "slow.held", what="files")
    expect("slow.end" not in out, f"they had ended: {out}")
    figure(f"{SLOW_CONNECTIONS} slow connections: tasks took " + ", ".join(f"{x:.2f}" for x in took) + f" s; {out.splitlines()[0]} held and opened")
    # A task that had to wait for a slow connection would take ten seconds.
    expect(sorted(took)[len(took) // 2] < 1.0 and max(took) < 5.0, f"tasks took {[round(x, 2) for x in took]} s beside {SLOW_CONNECTIONS} slow connections ({out.splitlines()[0]})")


GATHER = r"""
import base64, json, os
found = {}
def take(path):
    try:
        with open(path, 'rb') as f:
            found[path] = base64.b64encode(f.read(100000)).decode()
    except OSError:
        pass
for p in os.listdir('/proc'):
    if p.isdigit():
        for name in ('environ', 'cmdline'):
            take(f'/proc/{p}/{name}')
mounts = [line.split()[4] for line in open('/proc/self/mountinfo')]
for m in mounts:
    if m.startswith(('/proc', '/sys', '/dev')) or m == '/':
        continue
    if os.path.isfile(m):
        take(m)
    for folder, _, files in os.walk(m):
        for f in files:
            path = os.path.join(folder, f)
            if os.path.isfile(path) and os.path.getsize(path) < 4000000:
                take(path)
for f in os.environ.items():
    found['variable ' + f[0]] = base64.b64encode(f[1].encode()).decode()
found['mounts'] = base64.b64encode('\n'.join(mounts).encode()).decode()
for path in list(found):
    if path.endswith('/runner'): del found[path]      # the program itself
print(json.dumps(found))
"""


@case(shared=True)
def no_secret_can_be_seen_from_the_users_container(t):
    box = t.box()
    pod = t.pod_of(box)
    s = t.run(box, INTEG.command("python3", "-c", GATHER))
    equal(s["state"], "Succeeded", f"state ({shorten(s.get('stderr'))})")
    found = {path: base64.b64decode(text) for path, text in json.loads(s["stdout"]).items()}
    expect(any(p.endswith("/environ") for p in found) and "mounts" in found, f"only {sorted(found)} could be read")
    text = Signer(t).text
    seed = base64.urlsafe_b64decode(text.split(":")[1] + "==")
    for path, content in found.items():
        for name, secret in (("the signing key", text.split(":")[1].encode()), ("the signing key's bytes", seed), ("its base64", base64.b64encode(text.encode())[:40]),
                             ("a setting of the agent", b"ARL_"), ("a service account's token", b"eyJhbGciOi")):
            expect(secret not in content, f"{path} has {name}")
    mounts = found["mounts"].decode()
    expect("serviceaccount" not in mounts and "secrets" not in mounts, f"mounts: {mounts}")
    expect(not pod["spec"].get("automountServiceAccountToken", True), "automountServiceAccountToken")
    volumes = {v["name"]: v for v in pod["spec"]["volumes"]}
    expect(all("emptyDir" in v for v in volumes.values()), f"volumes: {volumes}")
    user = [c for c in pod["spec"]["containers"] if c["name"] == "executor"][0]
    expect("arl-journal" not in [m["name"] for m in user["volumeMounts"]], "the journal is mounted in the user's container")
    equal(t.out(box, sh("ls /var/run/secrets/kubernetes.io 2>/dev/null | wc -l; env | grep -c KUBERNETES_SERVICE_HOST; true")).split()[0], "0", "service accounts")


KNOCK = r"""
import os, random, socket, struct, time
random.seed(7)
def knock(data, wait=0.05):
    s = socket.socket(socket.AF_UNIX); s.settimeout(2)
    try:
        s.connect('/.arl/sock'); s.sendall(data)
        s.settimeout(wait if data else 0.5)
        try: return s.recv(65536)
        except socket.timeout: return None
    except OSError as e:
        return e
    finally:
        s.close()
shapes = [b'', b'\0' * 64, b'\xff' * 64, os.urandom(4096), b'GET / HTTP/1.1\r\n\r\n', b'A' * 1000000, struct.pack('<I', 0xffffffff) * 16,
          struct.pack('>I', 0x7fffffff) + b'x' * 100]
shapes += [struct.pack('<I', n) + bytes([k]) + os.urandom(n % 97) for n in (0, 1, 4, 16, 255, 4096) for k in range(12)]
spoke = 0
for data in shapes * 3:
    got = knock(data)
    if isinstance(got, bytes) and got: spoke += 1
many = []
for i in range(300):
    try:
        s = socket.socket(socket.AF_UNIX); s.setblocking(False); s.connect('/.arl/sock'); many.append(s)
    except OSError: pass
time.sleep(1)
print(len(shapes) * 3, spoke)
"""


@case(shared=True)
def hostile_bytes_on_the_agents_socket(t):
    """The runner keeps its connection. Nobody else is let in, and no other caller gets a byte from the agent."""
    box = t.box()
    before = t.pod_of(box)
    s = t.run(box, INTEG.command("python3", "-c", KNOCK), limit=100)
    equal((s["state"], s["exitCode"]), ("Succeeded", 0), f"state ({shorten(s.get('stderr'))})")
    tried, spoke = s["stdout"].split()
    equal(spoke, "0", f"connections of {tried} that were answered with more than an end")
    t.alive(box)
    after = t.pod_of(box)
    counts = [[c["restartCount"] for c in p["status"]["containerStatuses"]] for p in (before, after)]
    equal(counts[1], counts[0], "restarts of containers")
    wait("the pod to be ready", lambda: all(c["ready"] for c in t.pod_of(box)["status"]["containerStatuses"]), 20)
    expect(t.api.request("GET", path_of(t.ns, "pods", f"{before['metadata']['name']}:27182/proxy") + "/readyz")[0] == 200, "/readyz")
