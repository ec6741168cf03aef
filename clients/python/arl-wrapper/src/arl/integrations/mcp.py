"""A server of the Model Context Protocol on standard input and output: ``arl-mcp``. See docs/recipes/mcp.md."""

from __future__ import annotations

import argparse
import asyncio
import base64
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any, Literal, TypeVar

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import BaseModel, Field

from arl import AsyncSandbox, Pool, __version__
from arl.errors import ArlError
from arl.integrations._common import Runner, absolute, timed_out, work_dir

LABELS = {"app.kubernetes.io/managed-by": "arl-mcp"}
# What a model gets to read of an output or a file, if it does not ask for more.
CHARACTERS_MAX = 32_000
INSTRUCTIONS = """Sandboxes are throw-away Linux machines. Make one with create_sandbox, run shell commands in it with
run_command, and delete it when you are done. Files stay until then; a process that a command leaves in the background
goes on. Commands of one sandbox run one after the other."""

Name = Annotated[str, Field(description="The name of a sandbox, as create_sandbox has returned it.")]
Path = Annotated[str, Field(description="Absolute, or relative to the sandbox's work directory.")]
Encoding = Annotated[
    Literal["utf-8", "base64"], Field(description="base64 for files that are not text.", default="utf-8")
]
Characters = Annotated[int, Field(description="Of longer text the middle is left out.", ge=100, le=1_000_000)]

READS = ToolAnnotations(read_only_hint=True)
WRITES = ToolAnnotations(destructive_hint=True)

F = TypeVar("F", bound=Callable[..., Awaitable[Any]])


class SandboxState(BaseModel):
    """A sandbox as the cluster has it."""

    name: str
    namespace: str
    pool: str
    phase: str
    work_dir: str
    message: str


class CommandOutput(BaseModel):
    """How a command ended."""

    exit_code: int
    stdout: str
    stderr: str
    truncated: bool
    timed_out: bool


class FileContent(BaseModel):
    """A file."""

    content: str
    encoding: Literal["utf-8", "base64"]
    truncated: bool


class FileEntry(BaseModel):
    """What is in a folder."""

    name: str
    type: str
    size: int
    mode: str


class PoolState(BaseModel):
    """A pool of warm pods."""

    name: str
    phase: str
    idle: int
    in_use: int
    message: str


def cut(text: str, characters: int) -> tuple[str, bool]:
    """The beginning and the end of a text that is too long, and whether something is missing."""
    if len(text) <= characters:
        return text, False
    half = characters // 2
    missing = len(text) - 2 * half
    return f"{text[:half]}\n[... {missing} characters left out ...]\n{text[-half:]}", True


def told(fn: F) -> F:
    """Tells the model what was wrong, where arl has a sentence about it."""

    @functools.wraps(fn)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return await fn(*args, **kwargs)
        except (ArlError, UnicodeDecodeError) as e:
            raise ToolError(str(e)) from e

    return call  # type: ignore[return-value]


class Sandboxes:
    """The tools, and the sandboxes that they may use: those that this server has made, and those it was given.

    Args:
        namespace: By default that of the kubeconfig's context.
        pool: What create_sandbox takes if the model names none.
        given: Sandboxes that are there; they are not deleted at the end.
    """

    def __init__(self, namespace: str | None = None, pool: str | None = None, given: Sequence[str] = ()) -> None:
        self._namespace = namespace
        self._pool = pool
        self._given = frozenset(given)
        self._known: dict[str, tuple[AsyncSandbox, Runner]] = {}

    def add_to(self, server: MCPServer[Any]) -> None:
        """Registers the tools."""
        for tool, hints in (
            (self.list_pools, READS),
            (self.create_sandbox, WRITES),
            (self.run_command, WRITES),
            (self.write_file, WRITES),
            (self.read_file, READS),
            (self.list_files, READS),
            (self.sandbox_status, READS),
            (self.delete_sandbox, WRITES),
        ):
            server.add_tool(told(tool), annotations=hints)

    async def close(self) -> None:
        """Deletes the sandboxes that this server has made."""
        mine = [sandbox for name, (sandbox, _) in self._known.items() if name not in self._given]
        await asyncio.gather(*(sandbox.delete() for sandbox in mine), return_exceptions=True)
        self._known.clear()

    async def _find(self, name: str) -> tuple[AsyncSandbox, Runner]:
        if name not in self._known and name in self._given:
            sandbox = await AsyncSandbox.attach(name, namespace=self._namespace)
            self._known[name] = sandbox, Runner(sandbox)
        if name not in self._known:
            known = ", ".join(sorted({*self._known, *self._given})) or "none"
            raise ToolError(f"there is no sandbox {name} here; sandboxes: {known}")
        return self._known[name]

    def _state(self, sandbox: AsyncSandbox) -> SandboxState:
        status = sandbox.object.get("status", {})
        conditions = status.get("conditions") or [{}]
        return SandboxState(
            name=sandbox.name,
            namespace=sandbox.namespace,
            pool=sandbox.object["spec"]["poolRef"],
            phase=sandbox.phase,
            work_dir=work_dir(sandbox),
            message=conditions[0].get("message", ""),
        )

    async def list_pools(self) -> list[PoolState]:
        """Lists the pools that sandboxes can be taken from, and how many are ready at once."""
        return [await asyncio.to_thread(_pool_state, p) for p in await asyncio.to_thread(self._pools)]

    def _pools(self) -> list[Pool]:
        return Pool.list(namespace=self._namespace)

    async def create_sandbox(
        self,
        pool: Annotated[
            str | None, Field(description="One of list_pools; may be left out if there is a default.")
        ] = None,
        env: Annotated[dict[str, str] | None, Field(description="Environment variables of all commands.")] = None,
        idle_timeout: Annotated[int | None, Field(description="Seconds without use after which it is deleted.")] = None,
    ) -> SandboxState:
        """Takes a sandbox out of a pool."""
        wanted = pool or self._pool
        if wanted is None:
            raise ToolError("name a pool: list_pools has them")
        sandbox = await AsyncSandbox.create(
            wanted, namespace=self._namespace, env=env, idle_timeout=idle_timeout, labels=LABELS
        )
        self._known[sandbox.name] = sandbox, Runner(sandbox)
        return self._state(sandbox)

    async def run_command(
        self,
        sandbox: Name,
        command: Annotated[str, Field(description="Run by sh.")],
        cwd: Annotated[str | None, Field(description="By default the sandbox's work directory.")] = None,
        env: Annotated[dict[str, str] | None, Field(description="Environment variables.")] = None,
        user: Annotated[str | None, Field(description="A name, or uid:gid; by default the container's user.")] = None,
        stdin: Annotated[str | None, Field(description="What the command reads.")] = None,
        timeout: Annotated[float, Field(description="Seconds after which it is killed.", gt=0)] = 300,
        max_characters: Characters = CHARACTERS_MAX,
    ) -> CommandOutput:
        """Runs a shell command in a sandbox and waits for its end."""
        _, runner = await self._find(sandbox)
        result = await runner.run(command, cwd=cwd, env=env, user=user, stdin=stdin, timeout=timeout)
        stdout, out_cut = cut(result.stdout, max_characters)
        stderr, err_cut = cut(result.stderr, max_characters)
        return CommandOutput(
            exit_code=result.exit_code,
            stdout=stdout,
            stderr=stderr,
            truncated=result.truncated or out_cut or err_cut,
            timed_out=timed_out(result),
        )

    async def write_file(self, sandbox: Name, path: Path, content: str, encoding: Encoding = "utf-8") -> str:
        """Writes a file of a sandbox, and makes the folders that it is in."""
        box, _ = await self._find(sandbox)
        try:
            data = base64.b64decode(content, validate=True) if encoding == "base64" else content.encode()
        except ValueError as e:
            raise ToolError(f"content is not base64: {e}") from e
        await box.files.write(absolute(path, work_dir(box)), data)
        return f"{len(data)} bytes written to {path}"

    async def read_file(
        self, sandbox: Name, path: Path, encoding: Encoding = "utf-8", max_characters: Characters = CHARACTERS_MAX
    ) -> FileContent:
        """Reads a file of a sandbox."""
        box, _ = await self._find(sandbox)
        data = await box.files.read_bytes(absolute(path, work_dir(box)))
        if encoding == "base64":
            text = base64.b64encode(data).decode()
            if len(text) > max_characters:
                raise ToolError(f"{path} has {len(data)} bytes: raise max_characters, or read a part by a command")
            return FileContent(content=text, encoding=encoding, truncated=False)
        text, truncated = cut(data.decode(), max_characters)
        return FileContent(content=text, encoding=encoding, truncated=truncated)

    async def list_files(self, sandbox: Name, path: Path = ".") -> list[FileEntry]:
        """Lists a folder of a sandbox."""
        box, _ = await self._find(sandbox)
        found = await box.files.list(absolute(path, work_dir(box)))
        return [FileEntry(name=f.name, type=f.type, size=f.size, mode=f"{f.mode:04o}") for f in found]

    async def sandbox_status(
        self, sandbox: Annotated[str | None, Field(description="By default all of this server's.")] = None
    ) -> list[SandboxState]:
        """Tells whether sandboxes are there and can run commands."""
        names = [sandbox] if sandbox else sorted({*self._known, *self._given})
        return [self._state(await (await self._find(name))[0].refresh()) for name in names]

    async def delete_sandbox(self, sandbox: Name) -> str:
        """Deletes a sandbox with all that is in it."""
        box, _ = await self._find(sandbox)
        await box.delete()
        del self._known[sandbox]
        return f"sandbox {sandbox} is deleted"


def _pool_state(pool: Pool) -> PoolState:
    status = pool.status()
    return PoolState(name=pool.name, phase=status.phase, idle=status.idle, in_use=status.in_use, message=status.message)


def build(sandboxes: Sandboxes) -> MCPServer[Any]:
    """The server."""

    @asynccontextmanager
    async def lifespan(server: MCPServer[Any]) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.shield(sandboxes.close())

    # What it logs goes to standard error.
    server: MCPServer[Any] = MCPServer(
        "arl", instructions=INSTRUCTIONS, version=__version__, lifespan=lifespan, log_level="WARNING"
    )
    sandboxes.add_to(server)
    return server


def main() -> None:
    """The program ``arl-mcp``."""
    parser = argparse.ArgumentParser(
        prog="arl-mcp",
        description="Gives a model sandboxes on Kubernetes, by the Model Context Protocol on standard input and "
        "output. The cluster is that of KUBECONFIG. What it has made is deleted when it ends.",
    )
    parser.add_argument("--namespace", metavar="NAME", help="by default that of the kubeconfig's context")
    parser.add_argument("--pool", metavar="NAME", help="the pool that is taken if the model names none")
    parser.add_argument(
        "--sandbox", metavar="NAME", action="append", default=[], help="one that is there, and may be used and deleted"
    )
    parser.add_argument("--version", action="version", version=f"arl-mcp {__version__}")
    options = parser.parse_args()
    build(Sandboxes(options.namespace, options.pool, options.sandbox)).run("stdio")


if __name__ == "__main__":
    main()
