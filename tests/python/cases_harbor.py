"""arl.integrations.harbor: three tasks with the agents that need no model. Left out by --no-harbor."""
import glob
import json
import os
import tempfile

import recipes
import tools
from harness import case, equal, expect

HERE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "frameworks")
TASKS = ["file", "git", "user"]


def rewards(t, agent):
    """The reward of each task."""
    python = tools.harbor(t.env.cache)
    with tempfile.TemporaryDirectory() as work:
        tools.call(os.path.join(os.path.dirname(python), "harbor"), "run", "--path", os.path.join(HERE, "tasks"), "--agent", agent,
                   "--env", "arl.integrations.harbor:ArlEnvironment", "--jobs-dir", work, "--n-concurrent", "3", cwd=work, limit=560,
                   env={**tools.kubeconfig(t, work), "HOME": work})
        found = {}
        for path in glob.glob(os.path.join(work, "*", "*", "result.json")):
            with open(path, encoding="utf-8") as f:
                result = json.load(f)
            expect(not result.get("exception_info"), f"{path}: {result.get('exception_info')}")
            found[result["task_name"].rsplit("/", 1)[-1]] = result["verifier_result"]["rewards"]["reward"]
    equal(t.api.get(f"/apis/arl.infra.io/v1alpha1/namespaces/{t.ns}/sandboxes")["items"], [], "sandboxes that are left")
    return found


def oracle_solves_three_tasks(t):
    equal(rewards(t, "oracle"), {name: 1 for name in TASKS}, "rewards of the reference solutions")


def nop_solves_none(t):
    equal(rewards(t, "nop"), {name: 0 for name in TASKS}, "rewards of an agent that does nothing")


def types(t):
    tools.typed(t.env.cache, tools.harbor(t.env.cache), "harbor")


def recipe(t):
    recipes.run(t, "harbor", tools.harbor(t.env.cache))


if not os.environ.get(tools.NO_HARBOR):
    for f in (oracle_solves_three_tasks, nop_solves_none, recipe, types):
        case(slow=True)(f)
