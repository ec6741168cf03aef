"""Files of any size, moved by the verbs of /.arl/runner (docs/files.md), which are called by pods/exec."""
import glob
import hashlib
import io
import json
import os
import random
import subprocess
import tarfile

from harness import case, command, equal, expect, wait
from memory import Sampler

LARGE_MIB = 1024 if os.environ.get("ARL_LONG") == "1" else 64
MEMORY_KIB_MAX = 2048


def verb(t, pod, *argv, body=b"", status=0, limit=120):
    """Calls a verb. Returns exit status, standard output, and the JSON lines of standard error."""
    r = subprocess.run([*t.env.kubectl, "-n", t.ns, "exec", "-i", pod, "-c", "executor", "--", "/.arl/runner", *argv], input=body,
                       capture_output=True, timeout=limit)
    equal((r.returncode, r.stderr[-600:] if r.returncode != status else b""), (status, b""), f"exit status of {argv}")
    return r.stdout, [json.loads(line) for line in r.stderr.splitlines() if line.startswith(b"{")]


def answer(t, pod, *argv, body=b""):
    out, _ = verb(t, pod, *argv, body=body)
    return json.loads(out)


def fails(t, pod, code, *argv, body=b"", status=1):
    _, err = verb(t, pod, *argv, body=body, status=status)
    equal([e["error"] for e in err], [code], f"what {argv} says")


def processes(name):
    """The folders in /proc of a verb's processes; the processes of the local cluster's node are this machine's."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                argv = f.read().split(b"\0")
            if argv[:2] == [b"/.arl/runner", name.encode()]:
                found.append(os.path.dirname(path))
        except OSError:
            pass
    return found


class Watch(Sampler):
    """The most memory that a process of a verb has while the block runs, in KiB. Works on the local cluster only."""

    def __init__(self, name):
        super().__init__(0.05)
        self.name, self.peak = name, 0

    def look(self):
        for path in processes(self.name):
            try:
                with open(os.path.join(path, "status"), encoding="ascii", errors="replace") as f:
                    self.peak = max([self.peak] + [int(line.split()[1]) for line in f if line.startswith("VmHWM:")])
            except OSError:
                pass


def chunks(seed, mib):
    r = random.Random(seed)
    block = r.randbytes(1 << 20)
    for i in range(mib):
        yield block[i % 4096:] + block[:i % 4096]


def send_file(t, pod, path, mib):
    want = hashlib.sha256()
    argv = [*t.env.kubectl, "-n", t.ns, "exec", "-i", pod, "-c", "executor", "--", "/.arl/runner", "put", "--size", str(mib << 20), path]
    p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    for data in chunks(t.number, mib):
        want.update(data)
        p.stdin.write(data)
    out, _ = p.communicate(timeout=600)
    equal(p.returncode, 0, "exit status of put")
    equal({k: v for k, v in json.loads(out).items() if k in ("size", "sha256")}, {"size": mib << 20, "sha256": want.hexdigest()}, "what put has written")
    return want.hexdigest()


def fetch_file(t, pod, path):
    got, size = hashlib.sha256(), 0
    argv = [*t.env.kubectl, "-n", t.ns, "exec", pod, "-c", "executor", "--", "/.arl/runner", "get", path]
    p = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while data := p.stdout.read(1 << 20):
        got.update(data)
        size += len(data)
    equal(p.wait(60), 0, "exit status of get")
    equal(json.loads(p.stderr.read()), {"size": size, "sha256": got.hexdigest()}, "the line behind the content")
    return got.hexdigest()


@case()
def files_of_any_size_in_an_image_of_one_program(t):
    t.pool(image="scratch")
    box = t.box()
    pod = t.pod_of(box)["metadata"]["name"]
    with Watch("put") as put:
        want = send_file(t, pod, "/workspace/a/large", LARGE_MIB)
    with Watch("get") as get:
        equal(fetch_file(t, pod, "/workspace/a/large"), want, "what came back")
    if t.env.cluster:
        expect(0 < put.peak <= MEMORY_KIB_MAX and 0 < get.peak <= MEMORY_KIB_MAX, f"memory in KiB: put {put.peak}, get {get.peak}")
    out, _ = verb(t, pod, "ls", "/workspace/a")
    equal([(e["name"], e["type"], e["size"], e["mode"], e["uid"]) for e in map(json.loads, out.splitlines())],
          [("large", "file", LARGE_MIB << 20, "0644", 0)], "the folder")
    equal(answer(t, pod, "rm", "-r", "/workspace/a"), {"removed": 2}, "rm")
    fails(t, pod, "ENOENT", "stat", "/workspace/a")
    equal(answer(t, pod, "mkdir", "-p", "--dir", "/workspace", "x/y"), {"created": True}, "mkdir")
    fails(t, pod, "PATH", "ls", "/workspace/../etc")
    fails(t, pod, "USER", "stat", "--user", "somebody", "/", status=126)
    equal(t.out(box, command("/tool", "echo", "alive")), "alive\n", "after all of it")


@case(shared=True)
def a_cut_connection_replaces_nothing(t):
    pod = t.pod_of(t.box())["metadata"]["name"]
    answer(t, pod, "put", "--size", "6", "--sha256", hashlib.sha256(b"before").hexdigest(), "/workspace/f", body=b"before")
    argv = [*t.env.kubectl, "-n", t.ns, "exec", "-i", pod, "-c", "executor", "--", "/.arl/runner", "put", "--size", "1000000", "/workspace/f"]
    p = subprocess.Popen(argv, stdin=subprocess.PIPE)
    p.stdin.write(b"x" * 100_000)
    p.stdin.flush()

    def names():
        return sorted(json.loads(line)["name"] for line in verb(t, pod, "ls", "/workspace")[0].splitlines())
    wait("the file that is being written", lambda: any(n.startswith(".arl-") for n in names()), 30)
    p.kill()
    p.wait()
    p.stdin.close()
    wait("it to be gone", lambda: names() == ["f"], 60)
    equal(verb(t, pod, "get", "/workspace/f")[0], b"before", "the content")
    fails(t, pod, "CHECKSUM", "put", "--size", "3", "--sha256", "0" * 64, "/workspace/f", body=b"new")
    fails(t, pod, "ARGUMENTS", "put", "/workspace/f", body=b"new", status=2)


@case(shared=True)
def folders_both_ways_by_tar(t):
    pod = t.pod_of(t.box())["metadata"]["name"]
    packed = io.BytesIO()
    files = {"a/f": b"text", "a/b/" + "long" * 40: b"x" * 100_000, "ä": b"", **{f"many/{i}": b"%d" % i for i in range(300)}}
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(data), 0o640, 1_000_000_000
            tar.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "a/f"
        tar.addfile(link)
    body = packed.getvalue()
    said = answer(t, pod, "untar", "--size", str(len(body)), "/workspace/d", body=body)
    equal(said, {"entries": len(files) + 1, "size": len(body), "sha256": hashlib.sha256(body).hexdigest()}, "untar")
    out, err = verb(t, pod, "tar", "/workspace/d")
    equal((err[0]["skipped"], err[0]["size"], err[0]["sha256"]), (0, len(out), hashlib.sha256(out).hexdigest()), "tar")
    with tarfile.open(fileobj=io.BytesIO(out)) as tar:
        got = {m.name: (tar.extractfile(m).read(), m.mode, m.mtime) for m in tar if m.isreg()}
        equal([(m.name, m.linkname) for m in tar if m.issym()], [("link", "a/f")], "links")
    equal(got, {name: (data, 0o640, 1_000_000_000) for name, data in files.items()}, "files")
    for name, kind, target in (("../x", tarfile.REGTYPE, ""), ("/x", tarfile.REGTYPE, ""), ("x", tarfile.SYMTYPE, "/etc/passwd"), ("x", tarfile.CHRTYPE, "")):
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
        fails(t, pod, "ARCHIVE", "untar", "/workspace/e", body=packed.getvalue())
    equal(verb(t, pod, "ls", "/workspace/e")[0], b"", "what they left")


@case(shared=True)
def verbs_as_another_user(t):
    pod = t.pod_of(t.box())["metadata"]["name"]
    answer(t, pod, "mkdir", "--mode", "1777", "/workspace/shared")
    answer(t, pod, "put", "--user", "1234:99", "--size", "2", "--mode", "0600", "/workspace/shared/f", body=b"hi")
    said = answer(t, pod, "stat", "/workspace/shared/f")
    equal((said["uid"], said["gid"], said["mode"]), (1234, 99, "0600"), "owner and mode")
    fails(t, pod, "EACCES", "get", "--user", "4321", "/workspace/shared/f")
    fails(t, pod, "EACCES", "rm", "--user", "1234", "/etc/passwd")
    # Written in place, so that it stays the other user's.
    equal(answer(t, pod, "put", "--size", "3", "/workspace/shared/f", body=b"new")["inPlace"], True, "root over it")
    equal(answer(t, pod, "stat", "/workspace/shared/f")["uid"], 1234, "its owner")
