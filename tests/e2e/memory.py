"""How much memory containers of the local cluster's pods have, as the kernel counts it."""
import contextlib
import os
import re
import threading

from harness import Failed, expect

EVERY_S = 0.2


def group_file(pid):
    """The file with the memory of a process' container, and the key of anonymous memory in that file."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
        for line in f:
            _, names, path = line.strip().split(":", 2)
            if "memory" in names.split(","):
                return f"/sys/fs/cgroup/memory{path}/memory.stat", "rss"
            if not names and os.path.exists(f"/sys/fs/cgroup{path}/memory.stat"):
                return f"/sys/fs/cgroup{path}/memory.stat", "anon"
    raise Failed(f"process {pid} has no group for memory")


class Sampler:
    """Calls look() again and again, in a thread of its own, while the block runs."""

    def __init__(self, every_s=EVERY_S):
        self.every_s, self.stopping = every_s, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stopping.wait(self.every_s):
            self.look()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


class Memory(Sampler):
    """The most anonymous memory that containers have while the block runs: in each pod, the container in which the program runs."""

    def __init__(self, pods, program="arl-sidecar"):
        super().__init__()
        self.program = program
        left = {p["metadata"]["uid"]: p["metadata"]["name"] for p in pods}
        self.files = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/comm", encoding="utf-8") as f:
                    if f.read().strip() != program:
                        continue
                with open(f"/proc/{pid}/cgroup", encoding="utf-8") as f:
                    group = f.read().replace("_", "-")
                for uid in [u for u in left if u in group]:
                    self.files[left.pop(uid)] = group_file(pid)
        expect(not left, f"no process {program} was found of {len(left)} pods, such as {list(left.values())[:1]}")
        self.most = dict.fromkeys(self.files, 0)
        self.looks = 0

    def look(self):
        for name, (path, what) in self.files.items():
            with contextlib.suppress(OSError), open(path, encoding="utf-8") as f:
                self.most[name] = max(self.most[name], int(re.search(rf"^{what} (\d+)$", f.read(), re.M)[1]))
        self.looks += 1

    def check(self, limit):
        """Checks that no container has had more than the limit. Returns the most that one has had, in bytes."""
        name, most = max(self.most.items(), key=lambda kv: kv[1])
        expect(self.looks > 2, f"only {self.looks} looks at the memory of {self.program}")
        expect(min(self.most.values()) > 0, f"{self.program} without memory")
        expect(most < limit, f"{self.program} of {name} has had {most} bytes")
        return most
