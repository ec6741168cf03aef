"""The cases of e2e for arl-env, with arl-wrapper in its place: the same programs and expectations."""
import os
import subprocess

import harness
import tools
from harness import expect

OURS = "arl-wrapper"
# These cases test what only arl-env has.
NOT_OURS = {
    "basics_0_1_3": "the same as basics_0_1_5 with an older release",
    "failed_sandbox_message_reaches_the_caller": "it calls a private function; see sandbox.a_pod_that_is_lost",
    "basics_0_1_4": "the same as basics_0_1_5 with an older release",
}


def client(self, version, function, **more):
    python = tools.installed(self.env.cache)
    env = {**os.environ, "E2E_NAMESPACE": self.ns, "PYTHONDONTWRITEBYTECODE": "1", **{f"E2E_{k.upper()}": v for k, v in more.items()}}
    r = subprocess.run([python, os.path.join(harness.HERE, "client_side.py"), function], env=env, capture_output=True, text=True, timeout=240)
    expect(r.returncode == 0, f"{OURS}, {function}: exit {r.returncode}\n{r.stdout[-2500:]}{r.stderr[-2500:]}")
    return r.stdout


def ours(run):
    def with_ours(t):
        t.client = client.__get__(t)
        run(t)
    return with_ours


harness.CASES[:] = [c for c in harness.CASES if not c["name"].startswith("client.")] + [
    {**c, "name": c["name"].replace("client.", "dropin."), "run": ours(c["run"])}
    for c in harness.CASES if c["name"].startswith("client.") and c["name"].split(".")[1] not in NOT_OURS]
