"""arl.integrations.inspect: the checks that inspect-ai itself ships, all of them, and an evaluation without a model."""
import os
import re

import recipes
import tools
from harness import case, equal, expect

HERE = os.path.join(os.path.dirname(os.path.realpath(__file__)), "frameworks")
CHECKS = 44


@case(slow=True)
def all_checks_of_inspect_ai(t):
    """No check may be skipped or be expected to fail. The container runs as root, but the samples run as another user."""
    t.pool(image="python", replicas=1)
    python = tools.frameworks(t.env.cache)
    r = tools.call(python, "-m", "pytest", "-c", os.path.join(HERE, "pytest.ini"), "-p", "no:cacheprovider", "-q", "-rA",
                   os.path.join(HERE, "inspect_checks.py"), limit=900, fails=True,
                   env={**os.environ, "E2E_NAMESPACE": t.ns, "E2E_POOL": "pool", "PYTHONDONTWRITEBYTECODE": "1"})
    expect(r.returncode == 0, f"the checks: exit {r.returncode}\n{r.stdout[-6000:]}{r.stderr[-500:]}")
    last = r.stdout.strip().splitlines()[-1]
    expect(re.match(rf"=* ?{CHECKS} passed(, \d+ warnings?)? in ", last), f"not {CHECKS} passed and nothing else: {last}")
    equal(t.api.get(f"/apis/arl.infra.io/v1alpha1/namespaces/{t.ns}/sandboxes")["items"], [], "sandboxes that are left")


@case()
def recipe(t):
    recipes.run(t, "inspect", tools.frameworks(t.env.cache))
    equal(t.api.get(f"/apis/arl.infra.io/v1alpha1/namespaces/{t.ns}/sandboxes")["items"], [], "sandboxes that are left")
