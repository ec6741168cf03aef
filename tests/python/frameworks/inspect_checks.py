"""The conformance checks of inspect-ai, with a sandbox of ours; run by cases_inspect.py."""
import os

import pytest_asyncio
from inspect_ai.util._sandbox.self_check import *  # noqa: F403

from arl.integrations.inspect import ArlSandboxConfig, ArlSandboxEnvironment

# The user is not root, since in two checks access to a file must be refused. In other checks the user becomes root, so the
# container runs as root.
USER = "nobody"


@pytest_asyncio.fixture(scope="session")
async def environment():
    config = ArlSandboxConfig(pool=os.environ["E2E_POOL"], namespace=os.environ["E2E_NAMESPACE"], user=USER)
    await ArlSandboxEnvironment.task_init("checks", config)
    made = await ArlSandboxEnvironment.sample_init("checks", config, {})
    yield made["default"]
    await ArlSandboxEnvironment.sample_cleanup("checks", config, made, False)
    await ArlSandboxEnvironment.task_cleanup("checks", config, True)


@pytest_asyncio.fixture
async def sandbox_env(environment):
    return environment
