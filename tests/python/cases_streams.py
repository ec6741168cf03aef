"""What goes through pods/exec and port-forward: files, output as it comes, shells and ports."""
import contextlib
import os

from cases_sandbox import none_left, pool, run
from harness import IMAGES, case
from memory import Memory

LONG = os.environ.get("ARL_LONG") == "1"
BIG_MIB = 1024 if LONG else 64
FLAT_MIB = 16    # the most memory that a container may have, however much goes through it

# A pod may still answer for some seconds while it ends.
GONE = r"""
def until_gone(s):
    from kubernetes import client
    core, end = client.CoreV1Api(s._connection.api_client), time.monotonic() + 120
    while time.monotonic() < end:
        try: core.read_namespaced_pod(s.pod, NS)
        except client.ApiException as e:
            if e.status == 404: return
        time.sleep(0.1)
    sys.exit(f"pod {s.pod} is still there")
"""
FILES = r"""
import io, pathlib, tempfile
def twice(f):
    f.write("a.txt", "h\u00e9llo\n")
    equal((f.read("a.txt"), f.read_bytes("a.txt", offset=1, length=2)), ("h\u00e9llo\n", "\u00e9".encode()))
    every = bytes(range(256)) * 1000
    f.write("/tmp/x/y/z", every, mode=0o700)
    f.write("/tmp/x/y/z", io.BytesIO(every[1:]))
    equal((f.read_bytes("/tmp/x/y/z") == every[1:], f.stat("/tmp/x/y/z").size, f.stat("/tmp/x/y/z").mode), (True, len(every) - 1, 0o700))
    f.write("/tmp/x/empty", b"")
    equal(f.read_bytes("/tmp/x/empty"), b"")
    equal([(i.name, i.type, i.path) for i in f.list("/tmp/x")], [("empty", "file", "/tmp/x/empty"), ("y", "dir", "/tmp/x/y")])
    equal([i.name for i in f.list()], ["a.txt"])
    f.write_many({f"/tmp/many/{i}": str(i) for i in range(12)})
    equal([f.read(i.path) for i in f.list("/tmp/many")], sorted(str(i) for i in range(12)))
    f.mkdir("/tmp/d/e", mode=0o750)
    f.mkdir("/tmp/d/e")
    equal((f.stat("/tmp/d/e").mode, f.stat("/tmp/d/e").is_dir), (0o750, True))
    for kind, why in (
            (FileNotFoundError, lambda: f.read("nothing")), (errors.FileMissing, lambda: f.remove("nothing")), (IsADirectoryError, lambda: f.read("/tmp")),
            (errors.FileIsDirectory, lambda: f.write("/tmp", "x")), (NotADirectoryError, lambda: f.write("a.txt/b", "x")),
            (FileExistsError, lambda: f.mkdir("/tmp/d", parents=False)), (PermissionError, lambda: f.read("../etc/passwd")),
            (errors.FileDenied, lambda: f.write("/tmp/q", "x", user="who-is-that")), (IsADirectoryError, lambda: f.remove("/tmp/d")),
            (errors.OutputTooLarge, lambda: f.read("/tmp/x/y/z", max_size=1000)), (UnicodeDecodeError, lambda: f.read("/tmp/x/y/z"))):
        raises(kind, why)
    e = raises(errors.ArlError, lambda: f.read("nothing"))
    equal((e.reason, e.path, e.filename), ("ENOENT", "nothing", "nothing"))
    f.remove("/tmp/d", recursive=True)
    f.remove("/tmp/d", missing_ok=True)
    equal((f.exists("/tmp/d"), f.exists("a.txt")), (False, True))

def folders(f, here):
    (here / "up" / "a" / "b").mkdir(parents=True)
    (here / "up" / "a" / "b" / "c").write_bytes(os.urandom(100_000))
    (here / "up" / "link").symlink_to("a/b/c")
    (here / "up" / "run").write_text("#!/bin/sh\n")
    os.chmod(here / "up" / "run", 0o755)
    (here / "up" / ("n" * 200)).mkdir()
    (here / "up" / ("n" * 200) / ("m" * 200)).write_text("long")
    (here / "up" / "\u00fc").touch()
    f.upload_dir(here / "up", "/tmp/up")
    f.download_dir("/tmp/up", here / "down")
    def tree(top):
        return {str(p.relative_to(top)): (p.is_symlink() and os.readlink(p)) or (p.is_file() and (p.read_bytes(), p.stat().st_mode & 0o777)) for p in top.rglob("*")}
    equal(tree(here / "down") == tree(here / "up"), True)
    (here / "up" / "out").symlink_to("../../etc/passwd")
    e = raises(errors.FileError, lambda: f.upload_dir(here / "up", "/tmp/up2"))
    equal((e.reason, "out" in e.message), ("ARCHIVE", True))
    f.upload(here / "up" / "run", "/tmp/run")
    equal(f.stat("/tmp/run").mode, 0o755)
    equal(f.download("/tmp/run", here), 10)
    equal((here / "run").read_text(), "#!/bin/sh\n")
    raises(errors.FileMissing, lambda: f.download("/tmp/nothing", here / "nothing"))
    equal([p.name for p in here.iterdir() if p.name.startswith(".") or p.name == "nothing"], [])
"""


@case()
def files_and_folders(t):
    """In an image with a shell, and in an empty one."""
    pool(t)
    t.pool(name="scratch", spec={"containers": [{"name": "main", "image": IMAGES["scratch"]}]})
    run(t, FILES + GONE + r"""
for name in ("pool", "scratch"):
    with Sandbox.create(name, namespace=NS) as s, tempfile.TemporaryDirectory() as here:
        twice(s.files)
        folders(s.files, pathlib.Path(here))
        gone = s
until_gone(gone)
raises(errors.SandboxGone, lambda: gone.files.read("a.txt"))
""")


@case()
def files_with_asyncio(t):
    pool(t)
    run(t, FILES + r"""
class Sync:
    def __init__(self, files, loop): self.files, self.loop = files, loop
    def __getattr__(self, name):
        return lambda *a, **k: asyncio.run_coroutine_threadsafe(getattr(self.files, name)(*a, **k), self.loop).result()
async def main():
    async with AsyncSandbox.create("pool", namespace=NS) as s:
        with tempfile.TemporaryDirectory() as here:
            files = Sync(s.files, asyncio.get_running_loop())
            await asyncio.to_thread(twice, files)
            await asyncio.to_thread(folders, files, pathlib.Path(here))
        await s.run("mkfifo /tmp/fifo; dd if=/dev/zero of=/tmp/big bs=1M count=64", check=True)
        try: await asyncio.wait_for(s.files.download("/tmp/big", "/dev/null/no"), 60)
        except OSError: pass
        task = asyncio.ensure_future(s.files.read_bytes("/tmp/big"))
        await asyncio.sleep(0)
        task.cancel()
        try: await task
        except asyncio.CancelledError: pass
        equal(len(await s.files.read_bytes("/tmp/big")), 64 << 20)
asyncio.run(main())
""")


@case(alone=True)
def a_large_file_up_and_down(t):
    """The bytes are the same, and the memory of client, runner, agent and operator stays small; also in an empty image.

    Prints the speed, next to that of `kubectl exec cat` in the same run."""
    pool(t)
    t.pool(name="scratch", spec={"containers": [{"name": "executor", "image": IMAGES["scratch"]}]})
    pods = t.pods(status="idle")
    with contextlib.ExitStack() as seen:
        memory = [seen.enter_context(Memory(pods, name)) for name in ("runner", "arl-sidecar")] + [
            seen.enter_context(Memory(t.env.operator.pods(), "arl-operator"))]
        figures = run(t, r"""
import filecmp, resource, subprocess, tempfile
MIB = int(sys.argv[1])
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
def timed(what):
    began = time.monotonic()
    what()
    return MIB * 1.048576 / (time.monotonic() - began)
def move(s):
    two = os.path.join(here, "two")
    up = timed(lambda: s.files.upload(one, "/tmp/one"))
    down = timed(lambda: s.files.download("/tmp/one", two))
    equal(filecmp.cmp(one, two, shallow=False), True)
    return f"up {up:.0f} MB/s, down {down:.0f} MB/s"
with tempfile.TemporaryDirectory(dir="/var/tmp") as here:
    one = os.path.join(here, "one")
    block = os.urandom(1 << 20)
    with open(one, "wb") as f:
        for i in range(MIB): f.write(i.to_bytes(8, "big") + block[8:])
    with Sandbox.create("scratch", namespace=NS) as s:
        s.files.write("/tmp/warm-up", block)
        before = peak()
        figures = f"in scratch {move(s)}; in busybox "
        s.files.remove("/tmp/one")
    with Sandbox.create("pool", namespace=NS) as s:
        figures += move(s)
        equal(s.run(["sha256sum", "/tmp/one"]).stdout.split()[0], subprocess.run(["sha256sum", one], capture_output=True, text=True).stdout.split()[0])
        cat = timed(lambda: subprocess.run(["kubectl", "-n", NS, "exec", s.pod, "-c", "executor", "--", "cat", "/tmp/one"], check=True, stdout=subprocess.DEVNULL))
    more = peak() - before
    print(f"{MIB} MiB {figures}, kubectl exec cat {cat:.0f} MB/s; memory of the client grew by {more} MiB", flush=True)
    equal(more < 32, True)
""", str(BIG_MIB), limit=1200 if LONG else 240).stdout
    told = ", ".join(f"{m.program} {m.check(FLAT_MIB << 20) / (1 << 20):.1f} MiB" for m in memory)
    print(f"# {figures.strip()}; the most that a container had: {told}", flush=True)


@case()
def output_as_it_comes(t):
    """After each piece the command waits until the reader has seen that piece. So no piece comes only at the command's end."""
    pool(t)
    run(t, r"""
import subprocess
with Sandbox.create("pool", namespace=NS) as s:
    script = "for i in 1 2 3; do echo out $i; echo err $i >&2; while [ ! -e /tmp/$1.$i ]; do sleep 0.05; done; done; printf 'h\\303\\251'; exit 3"
    def follow(process, name):
        got, number = {"stdout": "", "stderr": ""}, 1
        for output in process:
            got[output.stream] += output.text
            if number <= 3 and all(f"{k} {number}\n" in got[n] for k, n in (("out", "stdout"), ("err", "stderr"))):
                s.files.write(f"/tmp/{name}.{number}", "")
                number += 1
        return got
    want = {"stdout": "out 1\nout 2\nout 3\nh\u00e9", "stderr": "err 1\nerr 2\nerr 3\n"}
    p = s.start(["sh", "-c", script, "sh", "a"])
    equal(follow(p, "a"), want)
    equal((p.wait().exit_code, p.wait().stdout), (3, want["stdout"]))
    equal({n: "".join(o.text for o in p if o.stream == n) for n in want}, want)
    told = {"out": "", "err": ""}
    def tell(name): return lambda text: told.update({name: told[name] + text})
    r = s.run("echo one; sleep 1.5; echo two; echo err >&2", on_stdout=tell("out"), on_stderr=tell("err"))
    equal((told, r.stdout), ({"out": "one\ntwo\n", "err": "err\n"}, "one\ntwo\n"))
    p = s.start("echo begun; sleep 600", timeout=600)
    other = subprocess.run([sys.executable, "-c", f'''
from arl import Sandbox
p = Sandbox.attach({s.name!r}, namespace={NS!r}).process({p.task_name!r})
for output in p:
    if output.stream == "stdout": print(output.text, end="")
    p.kill()
print(p.wait().reason)
'''], capture_output=True, text=True)
    equal((other.stdout, p.wait().exit_code), ("begun\nCanceled\n", 137))
    r = s.run("seq 1 100000; printf '\\377'; echo short >&2")
    whole = "".join(f"{i}\n" for i in range(1, 100001)).encode() + b"\xff"
    equal((r.truncated, r.stdout_bytes() == whole, r.stderr_bytes()), (True, True, b"short\n"))
async def main():
    async with AsyncSandbox.create("pool", namespace=NS) as s:
        p = await s.start("echo one; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo two")
        got = ""
        async for output in p:
            got += output.text
            if got == "one\n": await s.files.write("/tmp/go", "")
        equal((got, (await p.wait()).exit_code), ("one\ntwo\n", 0))
        try: await asyncio.wait_for(s.run("sleep 600", timeout=600), 1)
        except asyncio.TimeoutError: pass
        equal((await s.run("echo next")).stdout, "next\n")
asyncio.run(main())
""")


@case()
def output_byte_for_byte(t):
    """Output that a status cannot show: bytes that are no text, a character in two pieces, a short first attempt, a long output."""
    pool(t)
    run(t, r"""
with Sandbox.create("pool", namespace=NS) as s:
    p = s.start("printf 'a\\377'; while [ ! -e /tmp/go ]; do sleep 0.05; done; printf '\\303'; sleep 0.2; printf '\\251'; exit 3")
    data, text = b"", ""
    for output in p:
        data, text = data + output.data, text + output.text
        if data == b"a\xff": s.files.write("/tmp/go", "")
    equal((data, text, p.wait().exit_code), (b"a\xff\xc3\xa9", "a\ufffd\u00e9", 3))
    texts = []
    r = s.run("printf 'h\\303'; sleep 0.2; printf '\\251'", on_stdout=texts.append)
    equal(("".join(texts), r.stdout), ("h\u00e9", "h\u00e9"))
    p = s.start("echo again; exit 1", retries=1)
    equal("".join(o.text for o in p), "again\nagain\n")
    # It ends when all was read: Kubernetes may drop the end of a stream whose program is over.
    p, data = s.start("seq 1 100000; while [ ! -e /tmp/end ]; do sleep 0.05; done"), b""
    whole = "".join(f"{i}\n" for i in range(1, 100001)).encode()
    for output in p:
        data += output.data
        if len(data) == len(whole): s.files.write("/tmp/end", "")
    equal((data == whole, p.wait().truncated), (True, True))
""")


@case()
def output_without_the_right_to_exec(t):
    """The output comes from the task's status, which shows it once a second."""
    pool(t)
    run(t, r"""
from arl import process
def refused(self, *a, **k): raise errors.NotAllowed("no exec")
Sandbox._exec = refused
with Sandbox.create("pool", namespace=NS) as s:
    p = s.start("for i in 1 2 3; do echo $i; sleep 1.2; done; echo err >&2; exit 4")
    pieces = list(p)
    equal(("".join(o.text for o in pieces if o.stream == "stdout"), pieces[-1].text, p.wait().exit_code), ("1\n2\n3\n", "err\n", 4))
    equal(len(pieces) >= 3, True)
    p = s.start("seq 1 20000; sleep 2; seq 20001 100000")
    pieces = list(p)
    whole = "".join(f"{i}\n" for i in range(1, 100001)).encode()
    at = 0
    for o in pieces:
        at += o.missing
        equal(whole[at : at + len(o.data)] == o.data, True)
        at += len(o.data)
    equal(at, len(whole))
""")


@case()
def shells_terminals_and_ports(t):
    pool(t)
    run(t, GONE + r"""
import socket
from arl import _use
_use.EVERY_S = 1.0
# Sizes and input come by different ways: what is written after a resize may be read before it. What is typed is echoed, too.
SIZED = "until stty size | grep '^20 9[0]'; do sleep 0.1; done"
def used(s): return s.refresh().object["metadata"].get("annotations", {}).get("arl.infra.io/used-at")
with Sandbox.create("pool", namespace=NS, idle_timeout=8) as s:
    with s.shell() as shell:
        shell.write("echo out; echo err >&2; cat; exit 5\n")
        shell.read_until("out\n"); shell.read_until("err\n", stream="stderr")
        while not (first := used(s)): time.sleep(0.05)      # a thread of its own tells it
        end = time.monotonic() + 12
        while time.monotonic() < end:       # longer than the idle time
            equal(shell.read(1.0), None)
        equal(used(s) > first, True)
        shell.write(b"\0\xff\n")
        shell.end_input()
        equal((b"".join(o.data for o in shell), shell.wait(30)), (b"\0\xff\n", 5))
    with s.pty(100, 30, ["sh"]) as pty:
        pty.write("stty size\n"); pty.read_until("30 100")
        pty.resize(90, 20)
        pty.write(SIZED + "\n"); pty.read_until("20 90")
        pty.write("exit 4\n")
        equal(pty.wait(30), 4)
    # In the background: commands of a sandbox run one after the other.
    s.run("nc -ll -p 8080 -e cat >/dev/null 2>&1 & while ! netstat -ltn | grep -q :8080; do sleep 0.05; done", timeout=30, check=True)
    with s.forward(8080) as forward:
        data, got = os.urandom(1 << 20), b""
        with socket.create_connection((forward.host, forward.port), 30) as c:
            import threading
            threading.Thread(target=c.sendall, args=(data,)).start()
            while len(got) < len(data):
                piece = c.recv(65536)
                if not piece: break
                got += piece
        equal(got == data, True)
    with s.forward(9) as forward, socket.create_connection((forward.host, forward.port), 30) as c:
        equal(c.recv(1), b"")
until_gone(s)
raises(errors.SandboxGone, lambda: s.shell())
async def main():
    async with AsyncSandbox.create("pool", namespace=NS) as s:
        async with await s.shell(["cat"]) as shell:
            await shell.write("hello")
            equal(await shell.read_until("hello"), "hello")
            equal(await shell.read(0.1), None)
            await shell.end_input()
            equal(([o async for o in shell], await shell.wait(30)), ([], 0))
        async with await s.pty() as pty:
            await pty.resize(90, 20)
            await pty.write(SIZED + "; exit 3\n")
            await pty.read_until("20 90")
            equal(await pty.wait(30), 3)
asyncio.run(main())
""")
    none_left(t)
