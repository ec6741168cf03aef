"""arl.integrations.{minisweagent,deepagents,mcp}: used as their frameworks use them, without a model."""
import os

import recipes
import tools
from harness import case, equal

HEAD = """
import os, sys
NS = os.environ["E2E_NAMESPACE"]
def equal(got, want):
    if got != want: sys.exit(f"got {got!r}, want {want!r}")
"""


def run(t, text):
    python = tools.frameworks(t.env.cache)
    env = {**os.environ, "E2E_NAMESPACE": t.ns, "PYTHONDONTWRITEBYTECODE": "1", "MSWEA_SILENT_STARTUP": "1",
           "PATH": f"{os.path.dirname(python)}:{os.environ['PATH']}"}
    tools.call(python, "-c", HEAD + text, env=env, limit=420)
    equal(t.api.get(f"/apis/arl.infra.io/v1alpha1/namespaces/{t.ns}/sandboxes")["items"], [], "sandboxes that are left")


@case()
def types(t):
    tools.typed(t.env.cache, tools.frameworks(t.env.cache), "_common", "deepagents", "inspect", "mcp", "minisweagent")


@case()
def minisweagent(t):
    t.pool(image="python", replicas=1)
    run(t, r"""
from minisweagent.environments import get_environment
from minisweagent.exceptions import Submitted
e = get_environment({"environment_class": "arl.integrations.minisweagent.ArlEnvironment", "pool": "pool", "namespace": NS,
                     "env": {"COLOUR": "blue"}, "cwd": "/tmp"})
r = e.execute({"command": "pwd; echo err >&2; echo $COLOUR; exit 3"})
equal((r["output"], r["returncode"], r["exception_info"]), ("/tmp\nerr\nblue\n", 3, ""))
r = e.execute({"command": "echo before; sleep 600"}, timeout=2)
equal((r["output"], r["returncode"], "timed out after 2 seconds" in r["exception_info"]), ("before\n", -1, True))
r = e.execute({"command": "echo " + "x" * 200_000}, cwd="/")
equal((len(r["output"]), r["returncode"]), (200_001, 0))
r = e.execute({"command": "head -c 400000 /dev/zero | tr '\\0' y"})
equal(r["output"] == "y" * 400_000, True)
try:
    e.execute({"command": "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; echo the answer"})
    sys.exit("not Submitted")
except Submitted as s:
    equal(s.messages[0]["extra"], {"exit_status": "Submitted", "submission": "the answer\n"})
equal(e.get_template_vars()["system"], "Linux")
equal(e.serialize()["info"]["config"]["environment_type"], "arl.integrations.minisweagent.ArlEnvironment")
e.cleanup()
e.cleanup()
""")


@case()
def deepagents(t):
    t.pool(image="python", replicas=1)
    run(t, r"""
from arl import Sandbox
from arl.integrations.deepagents import ArlSandbox
with Sandbox.create("pool", namespace=NS) as s:
    b = ArlSandbox(s, env={"COLOUR": "blue"})
    equal(b.id, s.name)
    r = b.execute("echo out; echo err >&2; echo $COLOUR; exit 3")
    equal((r.output, r.exit_code, r.truncated), ("out\nerr\nblue\n", 3, False))
    equal(b.execute("sleep 600", timeout=1).exit_code, 124)
    equal(b.execute("echo " + "x" * 200_000).output, "x" * 200_000 + "\n")
    data = bytes(range(256)) * 1000
    equal([r.error for r in b.upload_files([("/tmp/a/b.bin", data), ("/etc", b"x"), ("c.txt", b"c\n")])], [None, "is_directory", None])
    got = b.download_files(["/tmp/a/b.bin", "/none", "c.txt"])
    equal([(r.content, r.error) for r in got], [(data, None), (None, "file_not_found"), (b"c\n", None)])
    equal(b.write("/tmp/a/t.txt", "one\ntwo\n").error, None)
    equal(b.edit("/tmp/a/t.txt", "two", "three").occurrences, 1)
    equal("three" in b.read("/tmp/a/t.txt").file_data["content"], True)
    equal([m["path"] for m in b.grep("three", "/tmp/a").matches], ["/tmp/a/t.txt"])
    equal(sorted(os.path.basename(e["path"].rstrip("/")) for e in b.ls("/tmp/a").entries), ["b.bin", "t.txt"])
    equal(b.delete("/tmp/a").error, None)
    equal(b.execute("ls /tmp/a").exit_code != 0, True)
""")


@case()
def mcp(t):
    """A client of the MCP SDK starts the program and calls each of its tools."""
    t.pool(image="busybox", replicas=1)
    run(t, r"""
import asyncio, base64
from mcp import Client, StdioServerParameters, stdio_client
server = StdioServerParameters(command="arl-mcp", args=["--namespace", NS], env=dict(os.environ))
async def main():
    async with Client(stdio_client(server)) as c:
        tools = {t.name for t in (await c.list_tools()).tools}
        equal(tools, {"list_pools", "create_sandbox", "run_command", "write_file", "read_file", "list_files", "sandbox_status",
                      "delete_sandbox"})
        async def call(name, **arguments):
            r = await c.call_tool(name, arguments)
            return (r.content[0].text if r.is_error else None), r.structured_content
        async def result(name, **arguments):
            error, content = await call(name, **arguments)
            equal(error, None)
            return content.get("result", content)
        equal([p["name"] for p in await result("list_pools")], ["pool"])
        error, _ = await call("create_sandbox")
        equal("list_pools" in error, True)
        error, _ = await call("create_sandbox", pool="nothing")
        equal("nothing" in error, True)
        box = (await result("create_sandbox", pool="pool", env={"COLOUR": "blue"}))["name"]
        r = await result("run_command", sandbox=box, command="echo $COLOUR; cat; pwd; echo e >&2; exit 3", stdin="in\n", cwd="/tmp")
        equal(r, {"exit_code": 3, "stdout": "blue\nin\n/tmp\n", "stderr": "e\n", "truncated": False, "timed_out": False})
        r = await result("run_command", sandbox=box, command="sleep 600", timeout=1)
        equal((r["exit_code"], r["timed_out"]), (124, True))
        r = await result("run_command", sandbox=box, command="seq 100000", max_characters=1000)
        equal((r["truncated"], r["stdout"][:4], r["stdout"][-8:]), (True, "1\n2\n", "\n100000\n"))
        data = bytes(range(256))
        await result("write_file", sandbox=box, path="a/b.bin", content=base64.b64encode(data).decode(), encoding="base64")
        await result("write_file", sandbox=box, path="a/t.txt", content="text\n")
        equal(base64.b64decode((await result("read_file", sandbox=box, path="a/b.bin", encoding="base64"))["content"]), data)
        equal((await result("read_file", sandbox=box, path="a/../a/t.txt"))["content"], "text\n")
        error, _ = await call("read_file", sandbox=box, path="a/b.bin")
        equal("utf-8" in error, True)
        error, _ = await call("read_file", sandbox=box, path="none")
        equal("none" in error, True)
        equal([(f["name"], f["type"]) for f in await result("list_files", sandbox=box, path="a")], [("b.bin", "file"), ("t.txt", "file")])
        equal([s["phase"] for s in await result("sandbox_status")], ["Ready"])
        error, _ = await call("run_command", sandbox="somebodys", command="true")
        equal("no sandbox somebodys" in error, True)
        await result("delete_sandbox", sandbox=box)
        equal(await result("sandbox_status"), [])
        await result("create_sandbox", pool="pool")  # it goes with the server
asyncio.run(main())
""")


@case()
def minisweagent_recipe(t):
    recipes.run(t, "minisweagent", tools.frameworks(t.env.cache))


@case()
def deepagents_recipe(t):
    recipes.run(t, "deepagents", tools.frameworks(t.env.cache))


@case()
def mcp_recipe(t):
    recipes.run(t, "mcp", tools.frameworks(t.env.cache))
