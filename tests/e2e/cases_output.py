"""Output up to the limit is kept byte for byte. Of more, head and tail are kept, with a marker between them that counts the rest."""
import json
import re
import subprocess
import threading

from harness import case, command, contains, equal, expect, path_of, sh, shorten, wait

LIMIT = 256 * 1024
OBJECT_LIMIT = 1 << 20
MARKER = re.compile(r"\n\[[^\[\]\n]*?(\d+) bytes[^\[\]\n]*\]\n")


def lines(n):
    return "".join(f"{i}\n" for i in range(1, n + 1))


def cut(text, full, what):
    """Checks that the text is the head of full, a marker, and the tail of full, and that the marker counts the characters between."""
    marks = list(MARKER.finditer(text))
    expect(len(marks) == 1, f"{what}: {len(marks)} markers in {shorten(text)}")
    head, tail, dropped = text[:marks[0].start()], text[marks[0].end():], int(marks[0].group(1))
    expect(full.startswith(head) and head, f"{what}: the head is not the beginning: {shorten(head, 200)}")
    expect(full.endswith(tail) and tail, f"{what}: the tail is not the end: {shorten(tail, 200)}")
    equal(dropped, len(full) - len(head) - len(tail), f"{what}: the count of dropped bytes, with {len(head)} + {len(tail)} kept")
    return len(head), len(tail)


def object_size(t, name):
    status, text = t.api.request("GET", path_of(t.ns, "Task", name))
    equal(status, 200, "HTTP status")
    return len(text.encode())


@case(shared=True)
def two_hundred_kilobytes_come_back_whole(t):
    box = t.box()
    want = lines(34_000)    # 192,894 bytes
    s = t.run(box, sh("seq 1 34000"))
    expect(s["stdout"] == want, f"stdout of {len(s['stdout'])} characters instead of {len(want)}: {shorten(s['stdout'], 200)}")
    expect(s["steps"][0]["stdout"] == want and not s["steps"][0].get("truncated"), "the step's own stdout")
    s = t.run(box, sh("head -c 200000 /dev/zero | tr '\\0' a"))
    expect(s["stdout"] == "a" * 200_000, f"one line of 200,000: {len(s['stdout'])}")


@case(shared=True)
def while_it_runs_the_last_output_is_shown(t):
    """After a while the agent sends only the tail of an output that goes on. The task still shows the last lines, and its result is
    whole."""
    name = t.task(t.box(), sh("seq 1 40000; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo over"))

    def shown():
        text = t.get("Task", name).get("status", {}).get("stdout", "")
        expect(text.endswith("\n39999\n40000\n"), f"{len(text)} characters, {shorten(text[-100:])}")
        return text
    text = wait("the last line to be shown", shown, 20)
    m = MARKER.match(text)
    expect(m and len(text) <= 8192, f"{shorten(text)}")
    equal(int(m[1]) + len(text) - m.end(), len(lines(40_000)), "bytes that are shown or counted")
    t.env.run_kubectl("-n", t.ns, "exec", t.pod_of(t.get("Task", name)["spec"]["sandboxRef"])["metadata"]["name"], "-c", "executor", "--",
                      "touch", "/tmp/go")
    s = t.finished(name)
    expect(s["stdout"] == lines(40_000) + "over\n", f"{len(s['stdout'])} characters: {shorten(s['stdout'], 200)}")


@case(shared=True)
def output_just_at_the_limit_is_whole(t):
    s = t.run(t.box(), sh(f"head -c {LIMIT} /dev/zero | tr '\\0' b"))
    expect(s["stdout"] == "b" * LIMIT, f"{len(s['stdout'])} characters: {shorten(s['stdout'], 200)}")
    expect(not s["steps"][0].get("truncated"), "truncated")


@case(shared=True)
def a_line_of_a_megabyte_keeps_head_and_tail(t):
    box = t.box()
    name = t.task(box, sh("printf BEGIN; head -c 1048576 /dev/zero | tr '\\0' x; echo END"))
    s = t.finished(name)
    equal((s["state"], s["exitCode"]), ("Succeeded", 0), "state and exit code")
    expect(s["steps"][0]["truncated"] is True, "truncated is not set")
    head, tail = cut(s["steps"][0]["stdout"], "BEGIN" + "x" * 1048576 + "END\n", "stdout of the step")
    expect(head + tail <= LIMIT, f"{head} + {tail} bytes were kept")
    expect(head > 10_000 and tail > 10_000, f"only {head} + {tail} bytes were kept")
    expect(object_size(t, name) < OBJECT_LIMIT, f"the object has {object_size(t, name)} bytes")
    t.alive(box)


@case(shared=True)
def four_megabytes_keep_head_and_tail(t):
    """An old defect: this looped for ever."""
    box = t.box()
    full = lines(600_000)   # 4,088,895 bytes
    name = t.task(box, sh("seq 1 600000; seq 1 600000 >&2", name="both"), sh("echo after", name="after"))
    s = t.finished(name)
    equal((s["state"], [r["name"] for r in s["steps"]]), ("Succeeded", ["both", "after"]), "state and steps")
    cut(s["steps"][0]["stdout"], full, "stdout")
    cut(s["steps"][0]["stderr"], full, "stderr")
    equal(s["steps"][1]["stdout"], "after\n", "stdout of the step after it")
    expect(object_size(t, name) < OBJECT_LIMIT, f"the object has {object_size(t, name)} bytes")
    t.alive(box)


@case(shared=True)
def many_big_steps_stay_below_a_megabyte(t):
    box = t.box()
    name = t.task(box, *[sh(f"echo start {i}; head -c 300000 /dev/zero | tr '\\0' {c}; echo end {i}", name=f"s{i}") for i, c in enumerate("abcdef")])
    s = t.finished(name)
    equal((s["state"], len(s["steps"])), ("Succeeded", 6), "state and the number of steps")
    for i, r in enumerate(s["steps"]):
        cut(r["stdout"], f"start {i}\n" + "abcdef"[i] * 300_000 + f"end {i}\n", f"stdout of step {i}")
        expect(r["truncated"] is True, f"step {i} is not marked as truncated")
    expect(object_size(t, name) < OBJECT_LIMIT, f"the object has {object_size(t, name)} bytes")


@case(shared=True)
def binary_output_survives(t):
    box = t.box()
    every = bytes(range(256))
    octal = "".join(f"\\{b:03o}" for b in every)
    s = t.run(box, command("printf", octal), command("printf", octal.replace("\\000", "") + "end"))
    want = every.decode("utf-8", "replace")
    equal(s["steps"][0]["stdout"], want, "every byte once")
    equal((s["state"], s["steps"][1]["stdout"]), ("Succeeded", want[1:] + "end"), "again, without NUL")
    text = "\0\x01\x1b[31mred\x7f\t\r\n\"\\</&> ü € 😀 \ufeff\u2028"
    s = t.run(box, sh(f"printf '{''.join(f'{chr(92)}{b:03o}' for b in text.encode())}'"))
    equal(s["stdout"], text, "control characters and other scripts")
    name = t.task(box, command("printf", "\\303\\050 \\360\\237\\230 \\355\\240\\200 \\377"))
    equal(t.finished(name)["stdout"].replace("\ufffd", "?").replace("??", "?").replace("??", "?"), "?( ? ? ?", "broken sequences")


@case(shared=True)
def random_bytes_over_the_limit_stay_below_a_megabyte(t):
    """Each NUL takes six bytes in JSON, each invalid byte three."""
    box = t.box()
    name = t.task(box, sh("head -c 3000000 /dev/urandom; head -c 300000 /dev/zero >&2", name="noise"))
    s = t.finished(name)
    step = s["steps"][0]
    equal((s["state"], step["truncated"]), ("Succeeded", True), "state and truncated")
    expect(MARKER.search(step["stdout"]), "there is no marker in stdout")
    cut(step["stderr"], "\0" * 300_000, "stderr")
    expect(object_size(t, name) < OBJECT_LIMIT, f"the object has {object_size(t, name)} bytes")
    equal(json.loads(json.dumps(step["stdout"])), step["stdout"], "stdout as JSON")
    t.alive(box)


@case(shared=True)
def markup_over_the_limit_stays_below_a_megabyte(t):
    """The API server writes <, > and & as six bytes each; an object too large for it is never stored, and the task never ends."""
    box = t.box()
    name = t.task(box, sh("head -c 260000 /dev/zero | tr '\\0' '<'; head -c 260000 /dev/zero | tr '\\0' '&' >&2", name="html"))
    s = t.finished(name)
    equal(s["state"], "Succeeded", "state")
    cut(s["steps"][0]["stdout"], "<" * 260_000, "stdout")
    cut(s["steps"][0]["stderr"], "&" * 260_000, "stderr")
    expect(object_size(t, name) < OBJECT_LIMIT, f"the object has {object_size(t, name)} bytes")
    equal(t.out(box, sh("printf '<a href=\"x\">&amp;</a>'")), '<a href="x">&amp;</a>', "some markup")


@case(shared=True)
def characters_are_not_torn_where_output_arrives_in_pieces(t):
    s = t.run(t.box(), sh("printf x; i=0; while [ $i -lt 3000 ]; do printf '\\303\\244\\342\\202\\254\\360\\237\\230\\200'; i=$((i+1)); done"))
    expect(s["stdout"] == "x" + "ä€😀" * 3000, f"{len(s['stdout'])} characters: {shorten(s['stdout'], 200)}")
    s = t.run(t.box(), sh("printf '\\303'; sleep 0.3; printf '\\244'; sleep 0.3; echo done"))
    equal(s["stdout"], "ädone\n", "one character in two writes")


@case(shared=True)
def stdout_and_stderr_are_kept_apart(t):
    s = t.run(t.box(), sh("i=0; while [ $i -lt 500 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; exit 3"))
    equal(s["exitCode"], 3, "exit code")
    equal(s["stdout"], "".join(f"out {i}\n" for i in range(500)), "stdout")
    equal(s["stderr"], "".join(f"err {i}\n" for i in range(500)), "stderr")


@case(shared=True)
def output_before_a_time_limit_is_kept(t):
    s = t.run(t.box(), sh("seq 1 1000; echo last words >&2; sleep 60"), timeout="5s")
    equal((s["exitCode"], s["stdout"]), (124, lines(1000)), "exit code and stdout")
    contains(s["stderr"], "last words\n", "timed out after 5s", what="stderr")


@case(shared=True)
def the_whole_of_a_cut_output_is_in_the_pod(t):
    box = t.box()
    name = t.task(box, sh("seq 1 100000"), sh("echo short"))
    steps = t.finished(name)["steps"]
    file = steps[0]["outputFile"]
    contains(file, "/var/lib/arl/output/", what="outputFile")
    expect("outputFile" not in steps[1], f"a file for what was not cut: {steps[1]}")
    whole = t.kubectl("exec", t.pod_of(box)["metadata"]["name"], "-c", "sidecar", "--", "arl-sidecar", "cat", file)
    expect(whole == lines(100_000), f"{len(whole)} characters: {shorten(whole, 200)}")


@case(shared=True)
def output_is_followed_as_it_comes(t):
    """The step waits for a file, which the test makes after it has read the step's first lines."""
    box = t.box()
    name = t.task(box, sh("echo one; echo two >&2; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo three; exit 3"))
    pod, uid = t.pod_of(box)["metadata"]["name"], t.get("Task", name)["metadata"]["uid"]
    tail = ["exec", pod, "-c", "sidecar", "--", "arl-sidecar", "tail"]
    p = subprocess.Popen([*t.env.kubectl, "-n", t.ns, *tail, "-f", "--wait", "60", f"{uid}/0"], bufsize=0, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE)
    limit = threading.Timer(60, p.kill)
    limit.start()
    try:
        equal((p.stdout.readline(), p.stderr.readline()), (b"one\n", b"two\n"), "the first lines")
        t.kubectl("exec", pod, "-c", "executor", "--", "touch", "/tmp/go")
        out, err = p.communicate(timeout=60)
    finally:
        limit.cancel()
        p.kill()
        p.wait()
    equal((p.returncode, out, err), (0, b"three\n", b""), "exit code and what came then")
    equal(t.finished(name)["exitCode"], 3, "exit code of the task")
    r = t.env.run_kubectl("-n", t.ns, *tail, "--wait", "0", f"{uid}/7")
    expect(r.returncode in (3, 4) and not r.stdout, f"a step that is not there: exit {r.returncode}, {r.stdout!r}, {r.stderr!r}")


@case(shared=True)
def the_containers_log_has_what_steps_print(t):
    box = t.box()
    name = t.task(box, sh("echo out; echo err >&2", name="both"), sh("echo second", name="two"))
    t.finished(name)
    want = [f"[{name}/both] err", f"[{name}/both] out", f"[{name}/two] second"]
    pod = t.pod_of(box)["metadata"]["name"]

    def look():
        seen = t.kubectl("logs", pod, "-c", "executor").splitlines()
        expect(sorted(seen) == want, f"the log is {seen}")
        return True
    wait("the container's log", look, 30)


@case(shared=True)
def output_is_shown_while_the_step_runs(t):
    """The rate is limited: at most one write of the Task a second, and two more for its state."""
    box = t.box()
    name = t.task(box, sh("for i in 1 2 3 4 5; do echo line $i; sleep 1; done"), timeout="60s")
    shown, versions = [""], set()

    def look():
        obj = t.get("Task", name)
        versions.add(obj["metadata"]["resourceVersion"])
        text = obj.get("status", {}).get("stdout", "")
        if text != shown[-1]:
            expect(text.startswith(shown[-1]), f"what was shown went away: {shown[-1]!r}, then {text!r}")
            shown.append(text)
        return obj.get("status", {}).get("state") == "Succeeded"
    wait("the task's end", look, 60)
    equal(shown[-1], "".join(f"line {i}\n" for i in range(1, 6)), "stdout")
    expect(len(shown) >= 4, f"output was shown {len(shown) - 1} times: {shown}")
    expect(len(versions) <= 9, f"{len(versions)} versions of the object")
