"""Forged results. The attacker writes into the agent's connection, or takes the agent's port, its address, or its runner's place."""
import time

from base import FORGED, NO_DOOR, PASSIVE, WORK, attack, quick
from harness import Failed, expect, sh, wait

# After a restart an agent knows from its journal what has run, but not which requests it has answered.
RETRIED = "the agent takes it for the operator's own question what became of it, and answers in seals that nobody else opens"
NOT_BELIEVED = ["metric not_believed", "condition AgentNotBelieved"]
FAILS = sh("sleep 2; echo 3 of 100 tests passed; exit 1")
TRUTH = (1, "3 of 100 tests passed\n")


def injected(t, kind, what, step=FAILS, truth=TRUTH, container=None):
    """A daemon of an earlier step writes into the agent's answer to the next task. Returns what it won."""
    box = t.armed(kind)
    t.daemon(box, "inject", t.port_of(box), what, container=container)
    s = t.run(box, step, limit=100)
    expect(t.said(box, "injected"), f"nothing was injected: {t.said(box, 'log')}")
    return t.true_result(s, *truth)


@attack("R1", "TCP segments injected into the answer by a daemon that sniffs eth0 (root, NET_RAW)", seen=NOT_BELIEVED)
def forged_segments_in_the_stream(t):
    return injected(t, "root", "forge")


@attack("", "a reset injected into the answer's connection (root, NET_RAW)", then=False, seen=["metric attaches_total"])
def a_reset_in_the_stream(t):
    return injected(t, "root", "reset")


@attack("", "noise injected into the answer's connection (root, NET_RAW)", then=None, seen=NOT_BELIEVED + ["metric attaches_total"])
def noise_in_the_stream(t):
    return injected(t, "root", "garbage")


@attack("R3", "TCP segments injected by one container into the answer of a task in the other one", seen=NOT_BELIEVED)
def forged_segments_of_another_container(t):
    return injected(t, "two", "forge", {**FAILS, "container": "executor"}, container="grader")


@attack("", "the end of the HTTP body injected into the answer: no more, and no frame that says so (root, NET_RAW)", then=None, seen=NOT_BELIEVED)
def a_clean_end_of_the_stream(t):
    return injected(t, "root", "end")


def recorded(t, box):
    """Runs an honest task, and records the agent's whole answer into the file `recorded` of the sandbox."""
    t.daemon(box, "listen", t.port_of(box))
    s = t.run(box, sh("sleep 0.5; echo good"))
    expect(s["stdout"] == "good\n", f"the task that is recorded: {s}")
    wait("the answer to be recorded", lambda: t.inside(box, f"ls {WORK}/recorded", fails=True), 30)


@attack("", "an earlier answer's frames injected into a later one", then=None, seen=NOT_BELIEVED)
def an_earlier_answer_in_the_stream(t):
    box = t.armed("root")
    recorded(t, box)
    t.daemon(box, "inject", t.port_of(box), "recorded")
    s = t.run(box, FAILS, limit=100)
    expect(t.said(box, "injected"), "nothing was injected")
    return t.true_result(s, *TRUTH)


def port_taken(t, kind):
    box = t.armed(kind)
    port = t.port_of(box)
    before = t.restarts_of(box, "sidecar")
    t.daemon(box, "serve", port, "forge")
    # The flood is a daemon: if the agent is killed, nobody hears of the task that started the flood.
    name = t.task(box, sh(f"setsid python3 {WORK}/inside.py flood 127.0.0.1 {port} 24 4190000 8 </dev/null >{WORK}/flood 2>&1 & sleep 0.2"))
    took = wait("the flood to be over, or to have killed", lambda: t.restarts_of(box, "sidecar") > before or t.said(box) or t.said(box, "flood"), 60)
    expect(t.ends(name, 60), "the task that floods did not end")
    s = t.run(box, sh("sleep 0.1; false"), limit=100)
    if t.said(box) or t.restarts_of(box, "sidecar") > before:
        return f"the agent was killed; the next task ended as {s['state']}, exit {s['exitCode']}, {s.get('stdout', '')!r}"
    expect(took is True or "connections" in took, f"the flood: {took}")
    return t.true_result(s, 1, "")


@attack("R2", "24 unsigned bodies of 4 MiB until the agent is killed, then its port is taken (root)", seen=["agent requests_refused"])
def the_port_after_a_flood(t):
    return port_taken(t, "root")


@attack("R2", "the same with uid 1000", seen=["agent requests_refused"])
def the_port_after_a_flood_by_a_user(t):
    return port_taken(t, "user")


# ---- a neighbour that has another pod's address

def neighbour(t, mode, step=FAILS, truth=TRUTH, thief=None, box=None):
    """Another pod answers for the address of a sandbox. Returns what it won."""
    thief, box = thief or t.armed("root"), box or t.sandbox_of("user")
    t.neighbour(thief, t.pod_of(box), mode)
    # A task that the agent has answered before the address was taken is no attack: try again.
    for _ in range(5):
        won = t.true_result(t.run(box, step, limit=100), *truth)
        if won or t.gave(thief):
            return won
    raise Failed(f"the neighbour's answer was given to nobody: {t.said(thief)} {t.said(thief, 'log')}")


@attack("R3", "another pod takes the address by ARP and answers with a success", seen=NOT_BELIEVED)
def a_neighbours_false_success(t):
    return neighbour(t, "forge")


@attack("R3", "another pod takes the address by ARP and reads what is sent: command, environment and their tokens", seen=NOT_BELIEVED)
def a_neighbour_reads_the_request(t):
    thief, box = t.armed("root"), t.sandbox_of("user", env=[{"name": "TOKEN", "value": "secret-of-the-sandbox"}])
    t.neighbour(thief, t.pod_of(box), "forge")
    for _ in range(5):
        t.run(box, sh("echo secret-of-the-step >/dev/null"), limit=100)
        if t.gave(thief):
            break
    stolen = t.said(thief, "stolen")
    expect("PUT /v1/" in stolen, f"no request came to the neighbour: {t.said(thief, 'log')}")
    return "it read " + ", ".join(x for x in ("secret-of-the-step", "secret-of-the-sandbox") if x in stolen) if "secret-of-the" in stolen else None


@attack("R3", "a container reads on eth0 what the steps of the other one get", then=True, untold=PASSIVE)
def a_container_reads_the_others_requests(t):
    box = t.armed("two")
    t.daemon(box, "listen", t.port_of(box), container="grader")
    s = t.run(box, sh("echo secret-of-the-step", env={"TOKEN": "secret-of-the-env"}))
    expect(s["state"] == "Succeeded", f"the task: {s}")
    wait("the answer to be recorded", lambda: t.inside(box, f"ls {WORK}/recorded", fails=True), 30)
    heard = t.said(box, "heard") + t.said(box, "recorded")
    return "it read " + ", ".join(x for x in ("secret-of-the-step", "secret-of-the-env", "c2VjcmV0LW9mLXRoZS1zdGVw") if x in heard) if "secret-of-the" in heard else None


def refusal(code):
    def f(t):
        return neighbour(t, f"refuse:{code}")
    f.__name__ = f"a_bare_{code}_by_a_neighbour"
    return attack("R3" if code in (400, 413) else "", f"another pod takes the address and answers {code}",
                  then=True if code in (400, 403, 413) else None, seen=NOT_BELIEVED if code != 401 else ["metric attaches_total"])(f)


for status in (400, 401, 403, 409, 410, 413):
    refusal(status)


@attack("", "another pod takes the address and answers in the sealed form, with noise", then=None, seen=NOT_BELIEVED)
def sealed_noise_by_a_neighbour(t):
    return neighbour(t, "sealed")


@attack("", "sealed frames of noise without end", then=None, seen=NOT_BELIEVED)
def sealed_frames_without_end(t):
    return neighbour(t, "frames")


@attack("R15", "heartbeats for ever: the task's own time is over, and it goes on Running", seen=NOT_BELIEVED)
def heartbeats_for_ever(t):
    thief, box = t.armed("root"), t.sandbox_of("user")
    t.neighbour(thief, t.pod_of(box), "beat", 45 if t.env.old else 12)
    name = t.task(box, sh("sleep 1; echo slept"), timeout="3s")
    wait("the neighbour to be asked", lambda: t.gave(thief), 20)
    # The agent is asked again until its own answer comes.
    if not t.ends(name, 40):
        return "long after its time the task of 3 s is " + t.get("Task", name).get("status", {}).get("state", "")
    return t.true_result(t.get("Task", name)["status"], 0, "slept\n")


@attack("R15", "tiny events without end", seen=NOT_BELIEVED)
def tiny_events_without_end(t):
    thief, box = t.armed("root"), t.sandbox_of("user")
    leader = t.env.operator.leader()["metadata"]["uid"]
    t.neighbour(thief, t.pod_of(box), "tiny", 10)
    name = t.task(box, sh("sleep 1; echo slept"), timeout="3s")
    wait("the neighbour to be asked", lambda: t.gave(thief), 20)
    began, used = time.monotonic(), t.env.processor_time(leader)
    time.sleep(5)   # the operator's processor time in these seconds is what is tested
    share = (t.env.processor_time(leader) - used) / (time.monotonic() - began)
    t.delete("Task", name)
    t.tell(f"the operator takes {100 * share:.0f} % of a processor")
    return "a neighbour keeps the operator busy" if share > 0.2 else None


@attack("R15", "an end with texts of 20,000 bytes beside the output", seen=NOT_BELIEVED)
def long_texts_beside_the_output(t):
    return neighbour(t, "errors", sh("sleep 1; echo slept"), (0, "slept\n"))


# ---- answers to the question what runs

def asked_what_runs(t, kind):
    """The operator asks the agent of a sandbox what runs there, and a neighbour answers.

    The old operator asks when a task that runs is deleted. Ours asks, after a stream is broken and an answer was not believed, before
    it cancels a task."""
    thief, box = t.armed("root"), t.sandbox_of("user")
    # The task prints, so that the operator acknowledges bytes of the stream: the neighbour answers these with a reset.
    name = t.task(box, sh("while :; do echo x; sleep 0.2; done"))
    t.state(name, "Running")
    t.neighbour(thief, t.pod_of(box), f"running:{kind}", wanted="GET")
    if t.env.old:
        t.delete("Task", name)
    wait("the neighbour to be asked", lambda: t.gave(thief, "GET"), 20)
    t.find("Task", name) and t.delete("Task", name)
    time.sleep(1)   # for the harm to be done


@attack("R10", 'an answer {"task": "x/AAAA..."} of 700 bytes', seen=NOT_BELIEVED)
def a_long_name_in_an_answer(t):
    return asked_what_runs(t, "long")


@attack("R10", "a name with slashes and a query in an answer, which goes into a URL", then=None, seen=NOT_BELIEVED)
def a_name_with_slashes_in_an_answer(t):
    return asked_what_runs(t, "slash")


@attack("R11", 'an answer {"running": [{}, {}, ...]} of 1 MiB', seen=NOT_BELIEVED)
def a_million_bytes_of_braces(t):
    return asked_what_runs(t, "many")


@attack("", "an answer of 200,000 brackets", then=None, seen=NOT_BELIEVED)
def a_deep_answer(t):
    return asked_what_runs(t, "deep")


@attack("", 'a false "nothing runs here": the task before still runs beside the next one', seen=NOT_BELIEVED)
def a_false_nothing_runs_here(t):
    thief, box = t.armed("root"), t.sandbox_of("user")
    name = t.task(box, sh(f"while :; do date +%s%N >{WORK}/beat; echo x; sleep 0.1; done"))
    t.state(name, "Running")
    t.neighbour(thief, t.pod_of(box), "running:empty", wanted="GET")
    if not t.env.old:
        wait("the neighbour to be asked", lambda: t.gave(thief, "GET"), 20)
    t.delete("Task", name)
    second = t.task(box, sh("echo second"))
    s = t.finished(second, 100)
    expect(t.gave(thief, "GET"), f"the neighbour's answer was given to nobody: {t.said(thief)}")
    first = t.inside(box, f"cat {WORK}/beat", fails=True)
    time.sleep(0.5)
    if s["state"] == "Succeeded" and first != t.inside(box, f"cat {WORK}/beat", fails=True):
        return "the deleted task still runs after the next one has ended"
    return None


# ---- replays

def heard(t, box):
    """Runs a task that appends a line to the file `count`, and records its request from the wire into the file `heard`. Returns the
    agent's port."""
    port = t.port_of(box)
    t.daemon(box, "listen", port)
    s = t.run(box, sh(f"echo x >>{WORK}/count"))
    expect(s["state"] == "Succeeded", f"the task that is heard: {s}")
    wait("the answer to be recorded", lambda: t.inside(box, f"ls {WORK}/recorded", fails=True), 30)
    expect("PUT /v1/" in t.said(box, "heard"), "its request was not heard")
    return port


def sent_again(t, box, ip, port):
    told = t.inside(box, f"python3 {WORK}/inside.py resend {ip} {port} {WORK}/heard", fails=True)
    expect("PUT HTTP/1.1 " in told, f"the agent did not answer: {told!r}")
    return told


@attack("", "recorded requests sent again to the same pod", then=False, seen=["agent requests_refused"])
def requests_sent_again(t):
    box = t.armed("root")
    told = sent_again(t, box, "127.0.0.1", heard(t, box))
    count = t.inside(box, f"cat {WORK}/count")
    return None if count == "x\n" and " 200 " not in told else f"answered: {told}, the step ran {count.count('x')} times"


@attack("", "recorded requests sent again after a restart of the agent", then=False, untold=RETRIED)
def requests_sent_again_after_a_restart(t):
    box = t.armed("root")
    port = heard(t, box)
    t.agent_ended(box)
    told = sent_again(t, box, "127.0.0.1", port)
    count = t.inside(box, f"cat {WORK}/count")
    # After a restart the agent does not know which requests it has answered. It may answer again, in a seal that only the operator can
    # open, but it must not run the step again.
    won = t.true_result(t.run(box, sh("echo next")), 0, "next\n")
    return won or (None if count == "x\n" else f"answered: {told}, the step ran {count.count('x')} times")


@attack("", "recorded requests sent to another sandbox's pod", then=False, seen=["agent requests_refused"])
def requests_sent_to_another_sandbox(t):
    box, other = t.armed("root"), t.sandbox_of("user")
    port = heard(t, box)
    told = sent_again(t, box, t.pod_of(other)["status"]["podIP"], port)
    count = t.inside(other, f"cat {WORK}/count", fails=True)
    return None if not count and " 200 " not in told else f"answered: {told}, the step ran: {count}"


@attack("", "an earlier answer given again by a neighbour", then=None, seen=NOT_BELIEVED)
def an_earlier_answer_by_a_neighbour(t):
    box, thief = t.armed("root"), t.armed("root")
    recorded(t, box)
    t.inside(thief, f"echo {t.inside(box, f'base64 -w0 {WORK}/recorded')} | base64 -d >{WORK}/recorded")
    return neighbour(t, "recorded", thief=thief, box=box)


@attack("", "an answer of another sandbox's agent, given by a neighbour", then=None, seen=NOT_BELIEVED)
def an_answer_of_another_sandbox(t):
    other, thief = t.armed("root"), t.armed("root")
    recorded(t, other)
    t.inside(thief, f"echo {t.inside(other, f'base64 -w0 {WORK}/recorded')} | base64 -d >{WORK}/recorded")
    return neighbour(t, "recorded", thief=thief)


# ---- the runner's place

@attack("R4", "connections to one container's socket, passed to the other one, which says HELLO when the runner is gone", untold=NO_DOOR)
def the_runners_place_by_passed_descriptors(t):
    box = t.armed("two")
    t.daemon(box, "take_over", t.env.frames_version, 7, container="grader")
    name = t.task(box, sh(f"python3 {WORK}/inside.py hand_over 7; kill -TERM 1; sleep 20"))
    quick(lambda: "frame 65" in t.said(box, "runner", "grader"), 15)
    t.finished(name, 100)
    s = t.run(box, FAILS, limit=100)
    if s.get("stdout") == FORGED or "frame 65" in t.said(box, "runner", "grader"):
        return f"another container's process is the runner; a task ended as {s['state']}, {s.get('stdout', '')!r}"
    return t.true_result(s, *TRUTH)


@attack("", "a descriptor of the runner's folder, passed to the other container, which looks there for what the next runner says who it is by", then=None, seen=["event ContainerRestarted", "condition ContainerRestarted"])
def the_runners_folder_by_a_passed_descriptor(t):
    box = t.armed("two")
    t.daemon(box, "use_folder", t.env.frames_version, 100, container="grader")
    t.finished(t.task(box, sh(f"python3 {WORK}/inside.py keep_folder")), 60)
    before = t.restarts_of(box, "executor")
    t.env.kill_container(t.pod_of(box), "executor")
    wait("the container to begin again", lambda: t.restarts_of(box, "executor") > before, 60)
    s = t.run(box, FAILS, limit=100)
    told = t.said(box, "runner", "grader")
    if "frame 65" in told or "secret of 32" in told:
        return "it has the secret" + (", and is the runner" if "frame 65" in told else "")
    return t.true_result(s, *TRUTH)


@attack("", "HELLO dialed again and again beside the runner (uid 1000)", then=False, untold=NO_DOOR)
def hello_beside_the_runner(t):
    box = t.armed("user")
    t.daemon(box, "greet", t.env.frames_version, 8)
    s = t.run(box, FAILS)
    if "frame 65" in t.said(box, "runner"):
        return "another process is the runner"
    return t.true_result(s, *TRUTH)


@attack("", "HELLO dialed again and again while the container begins anew (root; kill of every process)", then=None, seen=["event ContainerRestarted", "condition ContainerRestarted"])
def hello_while_the_container_begins_anew(t):
    box = t.armed("two")
    # The attacker, root in the container `grader`, can dial only the socket of that container. The container `executor` is killed.
    t.daemon(box, "greet", t.env.frames_version, 100, container="grader")
    t.env.kill_container(t.pod_of(box), "executor")
    wait("the container to begin again", lambda: t.restarts_of(box, "executor") > 0, 60)
    s = t.run(box, FAILS, limit=100)
    if "frame 65" in t.said(box, "runner", "grader"):
        return "another process is the runner"
    return t.true_result(s, *TRUTH)


@attack("R14", "eight callers of each runner's socket that leave a HELLO of 4 MiB unfinished (uid 1000 and root)", untold=NO_DOOR)
def unfinished_hellos(t):
    box = t.armed("two")
    before = t.restarts_of(box, "sidecar")
    t.daemon(box, "unfinished", 8, 4190000, container="grader")
    s = t.program(box, "unfinished", 8, 4190000, limit=100)
    if quick(lambda: t.restarts_of(box, "sidecar") > before, 4):
        return "the agent was killed"
    return t.true_result(s, 0, s.get("stdout", ""))
