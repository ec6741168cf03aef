"""A program that uses all of arl, for mypy --strict."""

import asyncio

import arl
from arl import AsyncSandbox, CommandResult, Pool, Sandbox, SandboxSession, TaskResource, TaskStep, WarmPoolManager, errors


def seed() -> str:
    """The classes that arl-env has as well."""
    manager = WarmPoolManager(namespace="default", timeout=10)
    made = manager.create_warmpool(name="a", image="b", replicas=1, resources={"limits": {"cpu": "1"}})
    manager.wait_for_warmpool_ready(made["metadata"]["name"], timeout=300)
    names = [pool["metadata"]["name"] for pool in manager.list_warmpools()]
    steps: list[TaskStep] = [{"name": "a", "type": "Command", "command": ["true"]}]
    with SandboxSession(pool_ref="a", namespace="default", keep_alive=False) as session:
        session.register_callback("on_task_complete", seen)
        result = session.execute(steps, trace_id="x")
        session.execute_with_callback(steps, callback_script="/x.sh")
        status: dict[str, int] = session.get_pool_status()
        shell = session.create_interactive_shell()
        shell.send_input_sync("ls\n")
        text: str = shell.read_output_sync(1)
        shell.close_sync()
    return result["status"]["stdout"] + text + str(status) + str(names)


def seen(task: TaskResource) -> None:
    """A callback."""
    print(task["status"]["state"])


def commands() -> CommandResult:
    """The classes of our own."""
    pool = Pool.ensure("image", replicas=2).wait_ready(10)
    with Sandbox.create(pool.name, env={"A": "b"}, idle_timeout=60, max_lifetime=600, labels={"a": "b"}) as sandbox:
        code: int = sandbox.run("true", user="nobody", stdin=b"x", check=True).exit_code
        task = sandbox.execute([arl.Command(command=["true"]), arl.FilePatch(path="a", content="b"), {"type": "Command", "command": ["true"]}])
        process = sandbox.start(["sleep", str(code)])
        process.kill()
        sandbox.renew(600)
        try:
            return sandbox.process(process.task_name).wait(1.0)
        except errors.TaskTimeout as e:
            print(e.reason, e.hint, e.message, task.state)
            raise


def files_and_shells(sandbox: Sandbox) -> str:
    """What a sandbox does beside tasks."""
    sandbox.files.write("a", "text", mode=0o755, user="nobody")
    sandbox.files.write_many({"b": b"bytes", "c": "text"})
    sandbox.files.upload_dir(".", "/tmp/here")
    sizes = [info.size for info in sandbox.files.list("/tmp", timeout=10) if info.is_file]
    data: bytes = sandbox.files.read_bytes("b", offset=1, length=2)
    for output in sandbox.start("make"):
        data += output.data
    result = sandbox.run("make", on_stdout=print)
    with sandbox.pty(80, 24) as pty, sandbox.forward(80) as local:
        pty.resize(100, 30)
        pty.write(local.address, timeout=10)
        text: str = pty.read_until("$ ")
    return text + str(result.stdout_bytes() + data) + str(sizes)


async def many() -> list[str]:
    """asyncio and maps."""
    async with AsyncSandbox.create("pool") as sandbox:
        first: CommandResult = await sandbox.run("true", on_stderr=print)
        await sandbox.files.write("a", await sandbox.files.read("b"))
        async for output in await sandbox.start("make"):
            print(output.stream, output.text)
        async with await sandbox.shell() as shell:
            await shell.write("exit\n")
            print(await shell.wait(10))
        async with await sandbox.forward(80) as local:
            print(local.address)
        await sandbox.renew()
        await sandbox.delete(wait=True)
    async for item, result in arl.amap(job, [1, 2], "pool"):
        print(item + 1, result.stdout)
    return [first.stdout] + [text for _, text in arl.map(lambda s, i: s.run(str(i)).stdout, [1, 2], "pool", 2)]


async def job(sandbox: AsyncSandbox, item: int) -> CommandResult:
    """Work in one sandbox."""
    return await sandbox.run(["echo", str(item)])


if __name__ == "__main__":
    print(seed(), commands(), asyncio.run(many()))
