"""Many at once: every output is right."""
import concurrent.futures
import time

from harness import Failed, case, command, equal, expect, path_of, wait

SANDBOXES, TASKS = 20, 1000
LIMIT_S = 600


def all_tasks(t):
    """All tasks of the namespace by name, listed in pages."""
    found, more = {}, ""
    while True:
        page = t.api.get(path_of(t.ns, "Task") + f"?limit=250{'&continue=' + more if more else ''}")
        found.update({o["metadata"]["name"]: o for o in page["items"]})
        more = page["metadata"].get("continue")
        if not more:
            return found


@case(slow=True)
def a_thousand_echoes_over_twenty_sandboxes(t):
    """An old defect: 52 of 300 tasks ended without stdout."""
    t.pool(replicas=SANDBOXES, ready=False)
    t.pool_ready("pool", LIMIT_S)
    boxes = [t.sandbox() for _ in range(SANDBOXES)]
    t.kubectl("scale", "wp", "pool", "--replicas=0")     # no refill: the machine is small
    for b in boxes:
        t.phase(b, "Ready")

    def create(i):
        return t.task(boxes[i % SANDBOXES], command("echo", f"hi {i}"), name=f"echo-{i}")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(create, range(TASKS)))

    def ended():
        done = sum(o.get("status", {}).get("state") in ("Succeeded", "Failed") for o in all_tasks(t).values())
        if done < TASKS:
            time.sleep(1)   # each look lists a thousand objects
            raise Failed(f"{done} of {TASKS} have ended")
        return True
    wait("all tasks to end", ended, LIMIT_S)
    tasks, wrong = all_tasks(t), []
    for i, name in ((i, f"echo-{i}") for i in range(TASKS)):
        s = tasks[name]["status"]
        if (s["state"], s["exitCode"], s["stdout"], s.get("stderr", "")) != ("Succeeded", 0, f"hi {i}\n", ""):
            wrong.append((name, s["state"], s.get("exitCode"), s.get("stdout"), s.get("stderr")))
    expect(not wrong, f"{len(wrong)} of {TASKS} are wrong, such as {wrong[:3]}")
    wait("the pods that were made before the scale to be gone", lambda: len(t.pods()) == SANDBOXES, 180)
