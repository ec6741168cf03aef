"""A shell in a pod, over pods/exec."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from kubernetes import client
from kubernetes.stream import stream
from websocket import WebSocketBadStatusException

from arl import _exec
from arl._connection import Connection
from arl.errors import from_api

DEFAULT_SHELL = ("/bin/sh",)


class InteractiveShellClient:
    """A shell whose input is sent and whose output is read as text."""

    def __init__(self) -> None:
        self._connection = Connection.load()
        self.v1 = self._client()
        self.ws_client: Any = None
        self.namespace: str | None = None
        self.pod_name: str | None = None
        self.container: str | None = None
        self._read_task: asyncio.Task[None] | None = None

    def connect_sync(
        self, namespace: str, pod_name: str, container: str = "executor", command: list[str] | None = None
    ) -> None:
        """Starts a shell, by default /bin/sh, in a container of a pod.

        Raises:
            NotAllowed: The right to pods/exec is missing. As all refusals a RuntimeError and an ApiException.
            NotFound: There is no such pod.
            Refused: There is no such container, or it does not run.
        """
        self.namespace, self.pod_name, self.container = namespace, pod_name, container
        argv = list(DEFAULT_SHELL) if command is None else command
        what = f"running {argv[0]} in pod {pod_name} of namespace {namespace}"
        self.ws_client = self._connection.call(what, lambda: self._open(what, namespace, pod_name, container, argv))

    def _client(self) -> client.CoreV1Api:
        # One of its own: kubernetes.stream changes the one that it is given while it connects.
        return client.CoreV1Api(client.ApiClient(self._connection.api_client.configuration))

    def _open(self, what: str, namespace: str, pod_name: str, container: str, command: Sequence[str]) -> Any:
        self.v1 = self._client()  # with the credentials of now
        try:
            return stream(
                self.v1.connect_get_namespaced_pod_exec,
                pod_name,
                namespace,
                container=container,
                command=command,
                stderr=True,
                stdin=True,
                stdout=True,
                tty=False,
                _preload_content=False,
            )
        except client.ApiException as e:  # all that went wrong is in its text, without a status
            cause = e.__context__
            if isinstance(cause, (KeyboardInterrupt, SystemExit)):
                raise cause from None
            if isinstance(cause, WebSocketBadStatusException):
                refused = _exec._refused(cause)
                # No second shell where one may run: an error of this tree is not repeated.
                raise (from_api(refused, what) if _exec.may_have_begun(refused) else refused) from e
            raise

    async def connect(
        self, namespace: str, pod_name: str, container: str = "executor", command: list[str] | None = None
    ) -> None:
        """See ``connect_sync``."""
        await asyncio.to_thread(self.connect_sync, namespace, pod_name, container, command)

    def send_input_sync(self, data: str) -> None:
        """Sends text to the shell."""
        if self.ws_client:
            self.ws_client.write_stdin(data)

    async def send_input(self, data: str) -> None:
        """See ``send_input_sync``."""
        await asyncio.to_thread(self.send_input_sync, data)

    def read_output_sync(self, timeout: float = 0.1) -> str:
        """What the shell has written since; waits at most so many seconds for some. Empty if there is nothing."""
        if not self.ws_client or not self.ws_client.is_open():
            return self._take()
        self.ws_client.update(timeout=timeout)
        return self._take()

    def _take(self) -> str:
        if not self.ws_client:
            return ""
        parts = [str(read()) for read in (self._stdout, self._stderr)]
        return "".join(parts)

    def _stdout(self) -> str:
        return self.ws_client.read_stdout(timeout=0) if self.ws_client.peek_stdout(timeout=0) else ""

    def _stderr(self) -> str:
        return self.ws_client.read_stderr(timeout=0) if self.ws_client.peek_stderr(timeout=0) else ""

    async def read_output(self, timeout: float = 0.1) -> str:
        """See ``read_output_sync``."""
        return await asyncio.to_thread(self.read_output_sync, timeout)

    def close_sync(self) -> None:
        """Ends the shell. Harmless when it is closed."""
        if self.ws_client:
            self.ws_client.close()
            self.ws_client = None

    async def close(self) -> None:
        """See ``close_sync``."""
        await asyncio.to_thread(self.close_sync)

    def is_open(self) -> bool:
        """Whether the shell runs, as far as is known."""
        return self.ws_client is not None and bool(self.ws_client.is_open())


async def create_websocket_proxy(
    namespace: str,
    pod_name: str,
    container: str,
    on_output: Callable[[str], None],
    on_error: Callable[[str], None],
    on_close: Callable[[], None],
) -> InteractiveShellClient:
    """Starts a shell and calls back with its output until it ends.

    Args:
        namespace: The pod's.
        pod_name: The pod.
        container: Its container.
        on_output: Called with each piece of output.
        on_error: Called with a message if it cannot be started, or breaks.
        on_close: Called at its end.
    """
    shell = InteractiveShellClient()
    try:
        await shell.connect(namespace, pod_name, container)
    except Exception as e:
        on_error(str(e))
        raise

    async def pump() -> None:
        try:
            while shell.is_open():
                output = await shell.read_output(timeout=1.0)
                if output:
                    on_output(output)
        except Exception as e:
            on_error(str(e))
        finally:
            on_close()

    shell._read_task = asyncio.create_task(pump())
    return shell
