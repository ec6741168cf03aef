"""Steps that do harm or end badly: each has the result that the documents state, and the sandbox runs the next task."""
import re

from cases_output import LIMIT, MARKER, OBJECT_LIMIT, object_size
from harness import IMAGES, ApiError, case, command, contains, equal, expect, seconds, sh, shorten
from tools import Peak, figure, sidecar_pid

NOBODY = 54321      # a user id that nothing else on the machine has: the limit of processes counts all of a user's processes
EURO = "€"
AGENT_KIB = 4096    # the most memory that an agent may need under load
KERNEL_MAX = 131072 # bytes of an argument or variable, with its NUL (MAX_ARG_STRLEN)


def python(code, name="step", **more):
    return command("python3", "-c", code, name=name, **more)


def failed(s, code, *sentence):
    equal((s["state"], s["exitCode"]), ("Failed", code), f"state and exit code ({shorten(s.get('stderr'))})")
    contains(s.get("stderr"), "arl: ", *sentence, what="stderr")


def kept(text):
    """Head, number of dropped bytes, tail of an output that was cut."""
    marks = list(MARKER.finditer(text))
    expect(len(marks) == 1, f"{len(marks)} markers in {shorten(text)}")
    return text[:marks[0].start()], int(marks[0].group(1)), text[marks[0].end():]


@case()
def fork_bomb_up_to_the_limit_of_processes(t):
    """Processes fork until the limit. All of them are gone after the step's time limit."""
    t.pool(image="python", spec={"securityContext": {"runAsUser": NOBODY, "runAsGroup": NOBODY},
                                 "containers": [{"name": "executor", "image": IMAGES["python"]}]})
    box = t.box()
    bomb = ("import os, resource, sys, time\nresource.setrlimit(resource.RLIMIT_NPROC, (150, 150))\n"
            "while True:\n  try:\n    os.fork()\n  except OSError as e:\n    sys.stdout.write('full\\n'); sys.stdout.flush(); time.sleep(600)\n")
    s = t.run(box, python(bomb), timeout="10s")
    failed(s, 124, "timed out")
    contains(s["stdout"], "full", what="stdout")
    expect(seconds(s["duration"]) < 40, f"it took {s['duration']}")
    left = "import os; print(sum(1 for p in os.listdir('/proc') if p.isdigit() and b'RLIMIT' in open('/proc/'+p+'/cmdline','rb').read()) - 1)"
    equal(t.out(box, python(left + "  # RLIMIT")), "0\n", "processes that are left of it")


@case(shared=True)
def a_hundred_megabytes(t):
    """All bytes are counted, and few are kept: the agent needs no more memory than for other outputs."""
    box = t.box()
    with Peak(sidecar_pid(t.pod_of(box)["metadata"]["uid"])) as agent:
        name = t.task(box, sh("head -c 100000000 /dev/zero | tr '\\0' x"))
        s = t.finished(name)
    figure(f"anonymous memory of the agent during 100 MB of output: at most {agent.most} KiB")
    expect(0 < agent.most < AGENT_KIB, f"{agent.most} KiB of anonymous memory")
    equal((s["state"], s["exitCode"], s["steps"][0].get("truncated")), ("Succeeded", 0, True), "state, exit code, truncated")
    head, dropped, tail = kept(s["stdout"])
    equal((set(head), set(tail), len(head) + dropped + len(tail)), ({"x"}, {"x"}, 100_000_000), "head, tail, all bytes")
    expect(len(head) + len(tail) >= LIMIT / 2, f"{len(head)} + {len(tail)} were kept")
    expect(object_size(t, name) < OBJECT_LIMIT, f"an object of {object_size(t, name)} bytes")
    t.alive(box)


@case(shared=True)
def a_megabyte_of_ones_of_255s_and_of_torn_characters(t):
    box = t.box()
    for byte, shown in (("\\x01", "\x01"), ("\\xff", "\ufffd")):
        name = t.task(box, python(f"import sys; sys.stdout.buffer.write(b'{byte}' * (1 << 20))"))
        s = t.finished(name)
        equal((s["state"], s["steps"][0].get("truncated")), ("Succeeded", True), f"state, truncated for {byte}")
        head, dropped, tail = kept(s["stdout"])
        equal((set(head), set(tail), len(head) + dropped + len(tail)), ({shown}, {shown}, 1 << 20), f"head, tail, all bytes of {byte}")
        expect(object_size(t, name) < OBJECT_LIMIT, f"an object of {object_size(t, name)} bytes")
    pieces = ("import os\nb = ('€' * 349525).encode() + b'x'\n"
              "i = 0\nwhile i < len(b):\n  i += os.write(1, b[i:i + 1021])\n")
    s = t.run(box, python(pieces))
    head, dropped, tail = kept(s["stdout"])
    expect(re.fullmatch(EURO + "*\ufffd{0,2}", head), f"head: {shorten(head, 80)}")
    expect(re.fullmatch("\ufffd{0,2}" + EURO + "*x", tail), f"tail: {shorten(tail, 80)}")
    torn = head.count("\ufffd") + tail.count("\ufffd")
    expect(abs((head.count(EURO) + tail.count(EURO)) * 3 + dropped + 1 + torn - (1 << 20)) <= 4, f"{dropped} dropped, {torn} torn")
    s = t.run(box, python(pieces.replace("349525", "80000").replace("1021", "4099")))
    equal((s["state"], s["stdout"] == EURO * 80000 + "x", s["steps"][0].get("truncated", False)), ("Succeeded", True, False), "below the limit")


@case(shared=True)
def a_program_that_crashes(t):
    box = t.box()
    failed(t.run(box, python("import ctypes; ctypes.string_at(1)")), 139, "killed by signal 11", "SIGSEGV")
    failed(t.run(box, python("import os; os.abort()")), 134, "killed by signal 6", "SIGABRT")
    failed(t.run(box, python("import os; os.kill(os.getpid(), 9)")), 137, "killed by signal 9", "SIGKILL")
    t.alive(box)


@case()
def a_step_that_eats_all_memory(t):
    """The kernel kills the step alone, or all processes of its container. The task fails in both cases, and the sandbox goes on."""
    t.pool(image="python", spec={"containers": [{"name": "executor", "image": IMAGES["python"],
                                                 "resources": {"limits": {"memory": "64Mi"}}}]})
    box = t.box()
    s = t.run(box, python("b = []\nwhile True: b.append(bytearray(1 << 20))"), python("open('/workspace/after', 'w')"))
    equal(s["state"], "Failed", "state")
    reason = [c["reason"] for c in s["conditions"] if c["type"] == "Finished"][0]
    expect((reason, s["exitCode"]) == ("StepFailed", 137) or (reason == "AgentRestarted" and s["exitCode"]), f"{reason}, exit code {s['exitCode']}")
    again = t.run(box, sh("ls /workspace"), retries=5)
    equal((again["state"], again["stdout"]), ("Succeeded", ""), "the sandbox afterwards, and the step after it")


@case(shared=True)
def arguments_too_long_and_arguments_with_nul(t):
    box = t.box()
    failed(t.run(box, command("echo", "x" * 200_000)), 126, "echo", "too long")
    # The kernel limits the length of "BIG=", the value and a NUL. The API server's check limits the value alone, so this one passes it.
    failed(t.run(box, sh("exit 0", env={"BIG": "z" * KERNEL_MAX})), 126, "sh", "too long")
    for field, step in (("env.BIG", sh("exit 0", env={"BIG": "z" * (KERNEL_MAX + 1)})), ("command[1]", command("echo", "a" * (2 << 20)))):
        try:
            t.task(box, step)
        except ApiError as e:
            equal(e.status, 422, f"how a {field} that is too long is refused")
            contains(e.message, f"spec.steps[0].{field}: Too long", what="the refusal")
        else:
            raise AssertionError(f"{field} of {shorten(str(step), 80)} was taken")
    s = t.run(box, command("echo", "begin\0end"))
    failed(s, 1, "NUL")
    equal(s.get("stdout", ""), "", "what ran of it")
    s = t.run(box, sh("echo $V", env={"V": "begin\0end"}))
    failed(s, 1, "NUL")
    t.alive(box)


@case(shared=True)
def ld_preload_reaches_the_step_and_nothing_else(t):
    box = t.box()
    bad = {"LD_PRELOAD": "/workspace/evil.so", "LD_LIBRARY_PATH": "/workspace", "LD_AUDIT": "/workspace/evil.so"}
    s = t.run(box, sh("echo not a library > evil.so"), sh("echo $LD_PRELOAD", env=bad),
              {"name": "write", "type": "FilePatch", "path": "after", "content": "written"}, sh("cat after; echo \"[$LD_PRELOAD]\""))
    equal((s["state"], [r["stdout"] for r in s["steps"]][1:]),
          ("Succeeded", ["/workspace/evil.so\n", "File created: after\n", "written[]\n"]), f"state and outputs ({shorten(s.get('stderr'))})")
    t.alive(box)


REACH = r"""
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long] * 4
ours = {1, os.getppid()}     # the runner and the step's keeper
print(len(ours))
class iovec(ctypes.Structure):
    _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]
for pid in sorted(ours):
    for request in (16, 0x4206):     # PTRACE_ATTACH, PTRACE_SEIZE
        if libc.ptrace(request, pid, 0, 0) == 0:
            print('traced', pid)
    for name in ('environ', 'mem', 'maps', 'auxv', 'syscall', 'stack'):
        try:
            with open(f'/proc/{pid}/{name}', 'rb') as f:
                if name != 'mem':
                    if f.read(1): print('read', pid, name)
                else:
                    print('opened', pid, name)
        except OSError:
            pass
    for name in ('exe', 'cwd', 'root'):
        try:
            print('followed', pid, name, os.readlink(f'/proc/{pid}/{name}'))
        except OSError:
            pass
    for fd in range(64):
        for reach in (os.readlink, lambda f: os.open(f, os.O_RDWR), lambda f: os.open(f, os.O_RDONLY | os.O_NONBLOCK)):
            try:
                print('descriptor', pid, fd, reach(f'/proc/{pid}/fd/{fd}'))
            except OSError:
                pass
    buf = ctypes.create_string_buffer(8)
    local, remote = iovec(ctypes.addressof(buf), 8), iovec(0x400000, 8)
    if libc.process_vm_readv(pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0) > 0:
        print('copied', pid)
print('end')
"""


@case(shared=True)
def the_runner_cannot_be_traced_or_read(t):
    """The runner, PID 1, and its keepers have the token for the agent's socket in their memory."""
    box = t.box()
    s = t.run(box, python(REACH))
    equal((s["state"], s["stdout"]), ("Succeeded", "2\nend\n"), f"what a step as root reaches ({shorten(s.get('stderr'))})")
    s = t.run(box, sh("kill -9 1; kill -STOP 1; kill -9 -1; echo survived"))
    t.alive(box)


@case(shared=True)
def daemons_stay_after_a_step_that_ended_and_go_with_one_that_timed_out(t):
    """The rule for processes that a step leaves behind."""
    box = t.box()
    server = ("import http.server, socketserver\n"
              "class H(http.server.BaseHTTPRequestHandler):\n"
              "  def do_GET(self):\n    self.send_response(200); self.end_headers(); self.wfile.write(b'served')\n"
              "  def log_message(self, *a): pass\n"
              "socketserver.TCPServer(('127.0.0.1', PORT), H).serve_forever()\n")
    ask = ("import time, urllib.request as u\nfor i in range(100):\n  try:\n    print(u.urlopen('http://127.0.0.1:PORT').read().decode()); break\n"
           "  except OSError as e:\n    time.sleep(0.1)\nelse: print('nobody')\n")
    start = "setsid python3 s.py >/dev/null 2>&1 & "
    s = t.run(box, {"name": "write", "type": "FilePatch", "path": "s.py", "content": server.replace("PORT", "9101")}, sh(start),
              python(ask.replace("PORT", "9101")))
    equal((s["state"], s["steps"][2]["stdout"]), ("Succeeded", "served\n"), "the next step")
    equal(t.out(box, python(ask.replace("PORT", "9101"))), "served\n", "the next task")
    late = ("import os, signal, time\nfor s in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(s, signal.SIG_IGN)\n"
            "if os.fork() == 0:\n  os.setsid()\n  if os.fork(): os._exit(0)\n  os.execvp('sleep', ['sleep', '9102'])\n"
            "os.wait(); print('deaf', flush=True); time.sleep(600)")
    s = t.run(box, python(late), timeout="6s")
    failed(s, 124, "timed out")
    equal(s["stdout"], "deaf\n", "what it printed")
    expect(6 <= seconds(s["duration"]) < 40, f"it took {s['duration']}")
    count = "import os; print(sum(b'sleep\\x009102' in open('/proc/'+p+'/cmdline','rb').read() for p in os.listdir('/proc') if p.isdigit()))"
    equal(t.out(box, python(count)), "0\n", "daemons of the step that timed out")
    equal(t.out(box, python(ask.replace("PORT", "9101"))), "served\n", "the daemon of the step that ended, after another timed out")
