"""A backend for deepagents: ``create_deep_agent(backend=ArlSandbox(sandbox))``. See docs/recipes/deepagents.md."""

from __future__ import annotations

from deepagents.backends.protocol import ExecuteResponse, FileDownloadResponse, FileUploadResponse
from deepagents.backends.sandbox import BaseSandbox

from arl import Sandbox
from arl.errors import FileError
from arl.integrations._common import NO_LIMIT_S, absolute, failure, script, work_dir

# Both streams as one, in the order in which they are written.
MERGED = ["/bin/sh", "-c", 'exec /bin/sh "$@" 2>&1', "sh", "-c"]


class ArlSandbox(BaseSandbox):
    """A sandbox that an agent works in. Whoever has made it deletes it.

    Its image needs python3, which deepagents reads, edits and searches files with.

    Args:
        sandbox: The sandbox.
        user: Who runs commands and reads and writes files; by default the container's user.
        timeout: Seconds for a command that names no other limit; 0: none.
        env: Environment variables of all commands.
    """

    def __init__(
        self, sandbox: Sandbox, *, user: str | None = None, timeout: int = 1800, env: dict[str, str] | None = None
    ) -> None:
        self._sandbox = sandbox
        self._user = user
        self._timeout = timeout
        self._env = env

    @property
    def id(self) -> str:
        """The name of the sandbox."""
        return self._sandbox.name

    def execute(self, command: str, *, timeout: int | None = None) -> ExecuteResponse:
        """Runs a command by ``sh``; exit code 124 if its time was over."""
        limit = self._timeout if timeout is None else timeout
        with script(self._sandbox, MERGED, command, self._user) as argv:
            result = self._sandbox.run(argv, user=self._user, env=self._env, timeout=limit or NO_LIMIT_S)
        # All else is on standard output: this is what arl itself has to say.
        return ExecuteResponse(
            output=result.stdout + result.stderr, exit_code=result.exit_code, truncated=result.truncated
        )

    def upload_files(self, files: list[tuple[str, bytes]]) -> list[FileUploadResponse]:
        """Writes files; one that fails leaves the others alone."""
        return [FileUploadResponse(path=path, error=self._write(path, data)) for path, data in files]

    def _write(self, path: str, data: bytes) -> str | None:
        try:
            self._sandbox.files.write(self._path(path), data, user=self._user)
        except FileError as e:
            return failure(e, path)
        return None

    def download_files(self, paths: list[str]) -> list[FileDownloadResponse]:
        """Reads files; one that fails leaves the others alone."""
        return [self._read(path) for path in paths]

    def _read(self, path: str) -> FileDownloadResponse:
        try:
            data = self._sandbox.files.read_bytes(self._path(path), user=self._user)
        except FileError as e:
            return FileDownloadResponse(path=path, error=failure(e, path))
        return FileDownloadResponse(path=path, content=data)

    def _path(self, path: str) -> str:
        return absolute(path, work_dir(self._sandbox))
