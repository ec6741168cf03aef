"""Tasks that are too large or print too much: nobody else suffers."""
import re
import time

from harness import case, equal, expect, patch, sh, wait


def large(characters):
    """A step with a large text of `<`, which the API server counts as one character and stores as six bytes."""
    return patch("/tmp/large", "<" * characters)


@case(shared=True)
def a_spec_that_leaves_no_room_for_a_status(t):
    """The spec fits into etcd, but not together with a result. The task is not started, and its status says why."""
    box = t.box()
    s = t.run(box, large(261_000))
    equal((s["state"], s["exitCode"], s["conditions"][0]["reason"]), ("Failed", 1, "SpecTooLarge"), "the task")
    expect("split it" in s["stderr"], f"stderr does not say what to do: {s['stderr']}")
    t.alive(box)


@case(shared=True)
def a_spec_that_leaves_no_room_at_all(t):
    """An old defect: after three such tasks the operator took the API server for down, and everybody waited."""
    box = t.box()
    names = [t.task(box, large(261_600)) for _ in range(4)]
    for name in names:
        wait(f"an Event of {name}", lambda n=name: t.events(n, "SpecTooLarge"), 20)
        equal(t.get("Task", name).get("status"), None, "its status")
    began = time.monotonic()
    other = t.box()
    t.alive(other)
    t.alive(box)    # the tasks stand in the line of this sandbox
    expect(time.monotonic() - began < 20, "others wait for them")


@case(shared=True)
def a_running_task_shows_the_end_of_its_output(t):
    """8 KiB at most, with a marker; the final status has all of it."""
    name = t.task(t.box(), sh("head -c 60000 /dev/zero | tr '\\0' x; echo; echo the end; sleep 4; echo later"))

    def shown():
        s = t.get("Task", name).get("status", {})
        return s if s.get("state") == "Running" and "the end" in s.get("stdout", "") else None
    s = wait("output to be shown", shown, 20)
    m = re.match(r"\n\[\.\.\. (\d+) bytes dropped \.\.\.\]\n", s["stdout"])
    expect(m, f"it begins without a marker: {s['stdout'][:100]!r}")
    equal(int(m.group(1)) + len(s["stdout"]) - m.end(), 60000 + len("\nthe end\n"), "bytes dropped and shown")
    expect(len(s["stdout"]) + len(s["steps"][0]["stdout"]) <= 8192, f"{len(s['stdout'])} bytes are shown, twice")
    s = t.finished(name)
    equal(s["stdout"], "x" * 60000 + "\nthe end\nlater\n", "the whole output")
