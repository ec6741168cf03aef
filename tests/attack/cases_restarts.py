"""An agent is killed in the middle of a request, while an attacker waits for its port. One operator takes over from another."""
from base import FORGED, WORK, attack
from cases_answers import FAILS, NOT_BELIEVED, TRUTH, recorded
from harness import expect, path_of, sh, wait

LOST = "AgentRestarted"


def port_lost(t, box, asked, mode="forge"):
    """Prepares the loss of the agent's port, and returns a function that does it.

    A daemon in the sandbox waits for the port. The function kills the agent's container from outside. The daemon takes the port before
    the next agent, answers the operator, and gives the port back three seconds later."""
    before = t.restarts_of(box, "sidecar")
    t.daemon(box, "serve", t.port_of(box), mode, 3)

    def end():
        t.env.kill_container(t.pod_of(box), "sidecar")
        wait("the attacker to have answered", lambda: t.gave(box, asked), 60)
        wait("the agent to begin again", lambda: t.restarts_of(box, "sidecar") > before, 60)
    return end


def as_it_was(t, s):
    """None if the task has its own end, or ended because its agent was restarted. Else what was won."""
    if s["state"] == "Failed" and FORGED not in s.get("stdout", "") and s["conditions"][0]["reason"] == LOST:
        return None
    return t.true_result(s, *TRUTH)


def goes_on(t, box):
    """None if the sandbox runs its owner's next task right. Else what was won."""
    return t.true_result(t.run(box, sh("echo next"), limit=100), 0, "next\n")


@attack("", "the agent is killed during a PUT, and its port taken by code in the sandbox", then=None, seen=NOT_BELIEVED)
def the_agent_killed_during_a_put(t):
    box = t.armed("root")
    end = port_lost(t, box, "PUT")
    t.env.signal_container(t.pod_of(box), "sidecar", "SIGSTOP")     # so that the request is under way
    name = t.task(box, FAILS)
    t.state(name, "Running")
    end()
    return as_it_was(t, t.finished(name, 100)) or goes_on(t, box)


@attack("", "the agent is killed during a stream, and its port taken by code in the sandbox", then=None, seen=NOT_BELIEVED)
def the_agent_killed_during_a_stream(t):
    box = t.armed("root")
    end = port_lost(t, box, "PUT")
    name = t.task(box, sh("echo begun; sleep 100; exit 1"))
    wait("the stream to run", lambda: "begun" in t.get("Task", name).get("status", {}).get("stdout", ""), 30)
    end()
    s = t.finished(name, 100)
    won = None if s["conditions"][0]["reason"] == LOST and s["stdout"].startswith("begun\n") else f"it ended as {s['state']}: {s.get('stdout', '')[:80]!r}"
    return won or goes_on(t, box)


@attack("", "the agent is killed during a cancel, and its port taken by code in the sandbox: \"never started here\", \"nothing runs here\"",
        then=None, seen=NOT_BELIEVED)
def the_agent_killed_during_a_cancel(t):
    box = t.armed("root")
    end = port_lost(t, box, "DELETE", "running:empty")
    name = t.task(box, sh(f"cd {WORK}; while :; do date +%s%N >new; mv new beat; sleep 0.05; done"))
    t.state(name, "Running")
    t.env.signal_container(t.pod_of(box), "sidecar", "SIGSTOP")
    before = t.env.metrics()["arl_task_cancels_total"]
    t.merge("Task", name, {"spec": {"cancel": True}})
    wait("the cancel to be under way", lambda: t.env.metrics()["arl_task_cancels_total"] > before, 30)
    end()
    s = t.run(box, sh(f"cat {WORK}/beat; sleep 1; cat {WORK}/beat"), limit=100)
    beats = s.get("stdout", "").split()
    expect(len(beats) == 2, f"the next task: {s}")
    expect(t.env.old or t.finished(name)["conditions"][0]["reason"] in ("Canceled", LOST), f"the task that was cancelled: {t.get('Task', name)['status']}")
    return "the cancelled step runs beside the next task" if len(set(beats)) > 1 else goes_on(t, box)


@attack("", "an earlier answer given again on the agent's port, which code in the sandbox takes while the agent begins again", then=None, seen=NOT_BELIEVED)
def an_earlier_answer_after_a_restart(t):
    box = t.armed("root")
    recorded(t, box)
    end = port_lost(t, box, "PUT", "recorded")
    name = t.task(box, sh("echo begun; sleep 100; exit 1"))
    wait("the stream to run", lambda: "begun" in t.get("Task", name).get("status", {}).get("stdout", ""), 30)
    end()
    s = t.finished(name, 100)
    return "the earlier answer was believed" if "good" in s.get("stdout", "") or s["state"] == "Succeeded" else goes_on(t, box)


@attack("", "what was answered to one operator is given to the next one, which has another key", then=None, alone=True, untold="the case itself looks at the metric of the one operator that was asked")
def an_answer_to_the_operator_before(t):
    box, thief = t.armed("root"), t.armed("root")
    recorded(t, box)
    t.inside(thief, f"echo {t.inside(box, f'base64 -w0 {WORK}/recorded')} | base64 -d >{WORK}/recorded")
    name = t.task(box, sh(f"while [ ! -e {WORK}/over ]; do echo x; sleep 0.2; done; echo {TRUTH[1].strip()}; exit 1"))
    wait("the stream to run", lambda: "x" in t.get("Task", name).get("status", {}).get("stdout", ""), 30)
    leader = t.env.operator.leader()
    t.api.call("DELETE", path_of(t.env.system(), "pods", leader["metadata"]["name"]))
    follower = wait("another operator to lead", lambda: (lambda p: p and p["metadata"]["uid"] != leader["metadata"]["uid"] and p)(t.env.operator.leader()), 60)
    # The follower asks the same agent, with a key of its own. The neighbour answers with what was recorded for the operator before.
    t.neighbour(thief, t.pod_of(box), "recorded", peers=follower["status"]["podIP"])
    wait("the neighbour to be asked", lambda: t.gave(thief), 60)
    doubts = t.env.metrics_of(follower).get("arl_agent_not_believed_total", 0)
    t.inside(box, f"touch {WORK}/over")
    s = t.finished(name, 100)
    wait("two operators", lambda: sum(1 for p in t.env.operator.pods() if any(c["ready"] for c in p["status"].get("containerStatuses", []))) == 2, 60)
    true = s["exitCode"] == 1 and s["stdout"].replace("x\n", "") == TRUTH[1]
    won = None if true else f"it ended as {s['state']}: {s.get('stdout', '')[-80:]!r}"
    return won or (None if doubts > 0 else "nothing tells of it: no metric not_believed of the operator that was asked")
