"""The published Python client arl-env. Each case runs a function of client_side.py."""
from harness import IMAGES, PLACEHOLDER_SIDECAR, case, equal, expect, wait

REFERENCE = "0.1.5"
MOUNT = [{"name": "workspace", "mountPath": "/workspace"}]


def pool(t, image="busybox", replicas=1):
    """Makes a pool as the client's WarmPoolManager does."""
    return t.pool(replicas=replicas, spec={
        "containers": [{"name": "executor", "image": IMAGES[image], "command": ["/bin/sh", "-c", "sleep infinity"], "volumeMounts": MOUNT},
                       {"name": "sidecar", "image": PLACEHOLDER_SIDECAR, "imagePullPolicy": "Always", "volumeMounts": MOUNT}],
        "volumes": [{"name": "workspace", "emptyDir": {}}]})


def basics(t, version):
    t.client(version, "basics", image=IMAGES["busybox"])
    equal(t.api.get(f"/apis/arl.infra.io/v1alpha1/namespaces/{t.ns}/sandboxes")["items"], [], "sandboxes that are left")
    wait("every pod of the deleted pool to be gone", lambda: not t.pods(), 90)


@case()
def basics_0_1_3(t):
    basics(t, "0.1.3")


@case()
def basics_0_1_4(t):
    basics(t, "0.1.4")


@case()
def basics_0_1_5(t):
    basics(t, "0.1.5")


@case()
def seed_text_quick_start(t):
    t.client(REFERENCE, "quick_start", image=IMAGES["python"])


@case()
def seed_text_manual_lifecycle(t):
    pool(t)
    t.client(REFERENCE, "manual_lifecycle")


@case()
def file_patch_then_cat_then_count(t):
    pool(t)
    t.client(REFERENCE, "file_cat_count")


@case()
def python_script_written_and_run(t):
    pool(t, "python")
    t.client(REFERENCE, "python_script")


@case()
def env_and_work_dir_per_step(t):
    pool(t)
    t.client(REFERENCE, "env_and_work_dir")


@case()
def exit_codes_and_no_such_command(t):
    pool(t)
    t.client(REFERENCE, "exit_codes")


@case()
def third_step_does_not_run_after_the_second_fails(t):
    pool(t)
    t.client(REFERENCE, "third_step_not_run")


@case()
def three_executes_in_one_session_without_keep_alive(t):
    pool(t)
    t.client(REFERENCE, "three_executes")


@case(slow=True)
def five_seconds_and_five_lines(t):
    pool(t)
    t.client(REFERENCE, "five_lines")


@case()
def four_tasks_share_files_in_a_keep_alive_session(t):
    pool(t)
    t.client(REFERENCE, "four_tasks")


@case()
def callbacks_and_callback_script(t):
    pool(t, "python")
    t.client(REFERENCE, "callbacks")


@case()
def interactive_shell_on_executor(t):
    pool(t)
    t.client(REFERENCE, "shell")


@case()
def pool_status_before_during_and_after(t):
    pool(t, replicas=2)
    t.client(REFERENCE, "pool_status")


@case(slow=True)
def idle_timeouts(t):
    pool(t, replicas=2)
    t.client(REFERENCE, "idle_timeouts")


@case()
def two_sessions_at_once(t):
    pool(t, replicas=2)
    t.client(REFERENCE, "two_sessions")


@case()
def bad_input_reaches_the_caller(t):
    pool(t)
    t.client(REFERENCE, "bad_input")


@case()
def testbed_volume_and_own_command(t):
    t.client(REFERENCE, "testbed", image=IMAGES["busybox"])


@case()
def failed_sandbox_message_reaches_the_caller(t):
    """The client prints conditions[0].message when the phase is Failed."""
    pool(t)
    out = t.client(REFERENCE, "failed_sandbox")
    expect("pod" in out, f"what it printed: {out}")
