"""A sandbox: one pod of a pool, in which commands run."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from types import TracebackType
from typing import Any

from arl import _arguments, _cleanup, _exec, _ops, _tasks
from arl._connection import REQUEST_S, Connection
from arl._exec import Exec
from arl._hub import Wait, hub
from arl._use import Use
from arl.errors import ArlError, ExecFailed, FileMissing, NotFound, Refused, SandboxGone, SandboxTimeout
from arl.files import Files
from arl.pool import Pool
from arl.process import OnOutput, Process
from arl.results import CommandResult, TaskResult
from arl.shells import Forward, Pty, Shell, terminal_size
from arl.steps import Step

USED_AT = "arl.infra.io/used-at"
DEFAULT_CONTAINER = "executor"
IDLE_MAX = 2**31 - 1
PORT_MAX = 65535


@dataclass(frozen=True)
class Place:
    """Where the commands of a sandbox run.

    Attributes:
        pod: The name of its pod.
        container: The container.
        work_dir: The folder that relative paths start from.
    """

    pod: str
    container: str
    work_dir: str | None


class Sandbox:
    """A sandbox in the cluster.

    Made by ``create`` or ``attach``; deleted by ``delete``, by ``with``, or at the end of the process.

    Attributes:
        name: Its name.
        namespace: Its namespace.
        object: The Kubernetes object, as it was last seen.
        files: Its files.
    """

    def __init__(self, connection: Connection, namespace: str, obj: Mapping[str, Any]) -> None:
        self._connection = connection
        self._use = Use(self.renew)
        self._container: str | None = None
        self.object = dict(obj)
        self.namespace = namespace
        self.name = str(obj["metadata"]["name"])
        self.files = Files(self)

    # ---- life ----------------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        pool: Pool | str,
        *,
        namespace: str | None = None,
        name: str | None = None,
        env: Mapping[str, str] | None = None,
        resources: Mapping[str, Any] | None = None,
        network: Mapping[str, Any] | None = None,
        idle_timeout: int | None = None,
        max_lifetime: int | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: float = 300,
        wait: bool = True,
        connection: Connection | None = None,
    ) -> Sandbox:
        """Takes a sandbox out of a pool.

        Args:
            pool: The WarmPool, or its name.
            namespace: The pool's namespace; by default that of the kubeconfig's context.
            name: Its name; by default a random one.
            env: Environment variables of all its commands.
            resources: Not there yet.
            network: Not there yet.
            idle_timeout: The sandbox is deleted after this many seconds without use; 0: never. By default the
                operator decides.
            max_lifetime: The sandbox is deleted after this many seconds in any case.
            labels: Additional labels of the sandbox.
            timeout: Seconds to wait for it.
            wait: False: return at once; the first command waits for it.
            connection: The cluster; by default that of the environment.

        Raises:
            PoolNotFound: There is no such pool.
            SandboxFailed: The sandbox has failed; the message says why.
            SandboxTimeout: The sandbox was not ready in time, and has been deleted again.
        """
        return _ops.run(
            cls._create(
                pool,
                namespace=namespace,
                name=name,
                env=env,
                resources=resources,
                network=network,
                idle_timeout=idle_timeout,
                max_lifetime=max_lifetime,
                labels=labels,
                timeout=timeout,
                wait=wait,
                connection=connection,
            )
        )

    @classmethod
    def _create(
        cls,
        pool: Pool | str,
        *,
        namespace: str | None = None,
        name: str | None = None,
        resources: Mapping[str, Any] | None = None,
        network: Mapping[str, Any] | None = None,
        timeout: float = 300,
        wait: bool = True,
        connection: Connection | None = None,
        **spec: Any,
    ) -> _ops.Op[Sandbox]:
        if isinstance(pool, Pool):
            namespace, connection = namespace or pool.namespace, connection or pool._connection
            pool = pool.name
        if resources is not None:
            raise NotImplementedError("resources= at claim is not there yet: set them in the pool's template")
        if network is not None:
            raise NotImplementedError("network= at claim is not there yet: use a NetworkPolicy for the pool's pods")
        known: Connection = connection or (yield _ops.Call(Connection.load))
        where = namespace or known.namespace
        body = _tasks.sandbox_body(pool, where, name=name, **spec)
        return (
            yield from _tasks.create_sandbox(
                lambda made: cls(known, where, made), known, body, timeout=timeout, wait=wait, named=name is not None
            )
        )

    @classmethod
    def attach(cls, name: str, *, namespace: str | None = None, connection: Connection | None = None) -> Sandbox:
        """Finds an existing sandbox, whoever has made it. It is not deleted at the end of this process.

        Raises:
            NotFound: There is no sandbox of this name.
        """
        connection = connection or Connection.load()
        namespace = namespace or connection.namespace
        return cls(connection, namespace, connection.get(namespace, "sandboxes", name))

    @classmethod
    def list(
        cls,
        *,
        namespace: str | None = None,
        labels: Mapping[str, str] | None = None,
        timeout: float = REQUEST_S,
        connection: Connection | None = None,
    ) -> list[Sandbox]:
        """Lists the sandboxes of a namespace, or those with these labels.

        Args:
            namespace: By default that of the kubeconfig's context.
            labels: Only sandboxes with all of these labels.
            timeout: Seconds for all of it.
            connection: The cluster; by default that of the environment.

        Raises:
            ClusterUnreachable: The API server did not answer in time.
        """
        deadline = time.monotonic() + _arguments.wait("timeout", timeout)
        connection = connection or Connection.load()
        namespace = namespace or connection.namespace
        wanted = _arguments.pairs("labels", labels)
        options = {"label_selector": ",".join(f"{k}={v}" for k, v in wanted.items())} if wanted else {}
        answer = connection.list(namespace, "sandboxes", deadline=deadline, **options)
        return [cls(connection, namespace, obj) for obj in answer["items"]]

    def wait_ready(self, timeout: float = 300) -> Sandbox:
        """Waits until the sandbox can run commands; see ``create``."""
        _ops.run(self._wait_ready(timeout))
        return self

    def _wait_ready(self, timeout: float) -> _ops.Op[None]:
        deadline = time.monotonic() + _arguments.wait("timeout", timeout)
        find = hub(self._connection).wait_for
        where = (self.namespace, "sandboxes", self.name)
        ready: Wait = yield _ops.Call(lambda: find(*where, _tasks.look_ready, deadline=deadline))
        yield from _tasks.wait_ready(self._connection, self, ready, timeout, deadline)

    def refresh(self) -> Sandbox:
        """Reads the Kubernetes object again."""
        self.object = self._connection.get(self.namespace, "sandboxes", self.name)
        return self

    def renew(self, seconds: int | None = None, *, timeout: float = REQUEST_S) -> None:
        """Reports use of the sandbox: its idle time begins anew. Once in 30 seconds is enough.

        Args:
            seconds: The idle time from now on, like ``idle_timeout`` of ``create``; 0: none. By default it does not
                change.
            timeout: Seconds for all of it.

        Raises:
            NotFound: The sandbox is gone.
            ClusterUnreachable: The API server did not answer in time.
        """
        deadline = time.monotonic() + _arguments.wait("timeout", timeout)
        now = datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")
        patch: dict[str, Any] = {"metadata": {"annotations": {USED_AT: now}}}
        if seconds is not None:
            patch["spec"] = {"idleTimeoutSeconds": _arguments.whole("seconds", seconds, most=IDLE_MAX)}
        self._connection.patch(self.namespace, "sandboxes", self.name, patch, deadline=deadline)

    def delete(self, wait: bool = False, timeout: float | None = 300) -> None:
        """Deletes the sandbox, and its pod with all processes. Does nothing if the sandbox is gone.

        Args:
            wait: Wait until the API server does not have the sandbox any more.
            timeout: Seconds for all of it; None: no limit. An API server that does not answer is asked once in any
                case, and again for half a minute at most.

        Raises:
            ClusterUnreachable: The API server did not answer. The end of the process tries again.
            SandboxTimeout: The sandbox still exists.
        """
        _ops.run(self._delete(wait, timeout))

    def _delete(self, wait: bool, timeout: float | None) -> _ops.Op[None]:
        until = _arguments.deadline(timeout)
        gone: Wait | None = None
        if wait:
            gone = yield _ops.Call(lambda: self._watch_end(until))
        try:
            yield _ops.Call(lambda: self._delete_by(until))
            if gone is not None:
                yield _ops.Until(gone.future, _arguments.left_of(until))
        except _ops.Late:
            raise SandboxTimeout(
                f"sandbox {self.name} in namespace {self.namespace} is deleted, and still there after {timeout:g} s",
                hint=f"See: kubectl -n {self.namespace} get sbx {self.name} -o yaml",
                object=self.object,
            ) from None
        finally:
            if gone is not None:
                gone.future.cancel()

    def _delete_by(self, deadline: float | None) -> None:
        self._connection.delete(self.namespace, "sandboxes", self.name, self.uid, deadline=deadline)
        _cleanup.forget(self.uid)

    def _watch_end(self, deadline: float | None) -> Wait | None:
        """Waits until it is gone; None: it is."""
        try:
            gone = hub(self._connection).wait_for(
                self.namespace, "sandboxes", self.name, lambda obj: obj is None or None, deadline=deadline
            )
        except NotFound:
            return None
        if gone.uid == self.uid:
            return gone
        gone.future.cancel()  # another one has this name now
        return None

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _ops.unless_gone(error):
            self.delete()

    def __repr__(self) -> str:
        return f"<Sandbox {self.namespace}/{self.name} {self.phase}>"

    @property
    def uid(self) -> str:
        """The UID of the Kubernetes object."""
        return str(self.object["metadata"]["uid"])

    @property
    def phase(self) -> str:
        """Pending, Bound, Ready or Failed, as it was seen last."""
        return str(self.object.get("status", {}).get("phase") or "Pending")

    @property
    def pod(self) -> str | None:
        """The name of its pod, as it was seen last."""
        name: str | None = self.object.get("status", {}).get("podName")
        return name

    # ---- programs that are no tasks ------------------------------------------------------------------------------

    def _place(self, timeout: float | None = None) -> Place:
        """Where its programs run; waits until it is ready, by default as long as ``wait_ready`` does."""
        if not self.pod:
            self.wait_ready() if timeout is None else self.wait_ready(timeout)
        status = self.object["status"]
        return Place(status["podName"], self._container or DEFAULT_CONTAINER, status.get("workDir"))

    def _exec(
        self,
        command: Sequence[str],
        *,
        container: str | None = None,
        stdin: bool = False,
        tty: bool = False,
        deadline: float | None = None,
        again: bool = False,
    ) -> Exec:
        """Starts a program in its pod, by default in the container that its commands run in.

        ``again``: it may be started twice, as what only reads; see ``_exec.open_stream``.
        """
        place = self._place(_arguments.left_of(deadline))
        start = partial(
            _exec.open_exec,
            self._connection,
            self.namespace,
            place.pod,
            command=command,
            stdin=stdin,
            tty=tty,
            deadline=deadline,
            again=again,
        )
        process = self._open_exec(start, place, container)
        process.explain = self._not_begun
        return process

    def _open_exec(self, start: Callable[..., Exec], place: Place, container: str | None) -> Exec:
        try:
            try:
                return start(container=container or place.container)
            except Refused:
                if container or self._container:
                    raise
            self._container = self._find_container()
            return start(container=self._container)
        except NotFound as e:
            raise self._gone() from e

    def _gone(self) -> SandboxGone:
        return SandboxGone(
            f"the pod {self.pod} of sandbox {self.name} in namespace {self.namespace} is gone",
            hint="The sandbox was deleted, or has lost its pod: take another one.",
            object=self.object,
        )

    def _not_begun(self, error: ExecFailed) -> ArlError:
        """A pod that is ending is there for seconds, and runs no program any more."""
        try:
            now = self._connection.get(self.namespace, "sandboxes", self.name)
        except NotFound:
            return self._gone()
        except ArlError:
            return error
        ending = now["metadata"].get("deletionTimestamp") or now.get("status", {}).get("phase") == "Failed"
        return self._gone() if ending or now["metadata"]["uid"] != self.uid else error

    def _find_container(self) -> str:
        """The container that commands run in where none has the usual name: the first that is not the agent's."""
        pool = self._connection.get(self.namespace, "warmpools", self.object["spec"]["poolRef"])
        names = [c["name"] for c in pool["spec"]["template"]["spec"]["containers"] if c["name"] != "sidecar"]
        return names[0] if names and DEFAULT_CONTAINER not in names else DEFAULT_CONTAINER

    def shell(self, command: Sequence[str] = ("/bin/sh",)) -> Shell:
        """Starts a program, by default a shell, whose input is sent and whose output is read while it runs.

        It is not a task, so nothing of it is recorded. While it is open, the sandbox counts as used.

        Raises:
            StreamLost: The connection broke before the start was confirmed. The program may run, and is not restarted.
        """
        return Shell(self._exec(_arguments.command(command), stdin=True), self._use)

    def pty(self, cols: int = 80, rows: int = 24, command: Sequence[str] = ("/bin/sh",)) -> Pty:
        """The same in a terminal; see ``shell``."""
        size = terminal_size(cols, rows)
        pty = Pty(self._exec(_arguments.command(command), stdin=True, tty=True), self._use)
        try:
            pty._tell(size)
        except BaseException:
            pty.close()
            raise
        return pty

    def forward(self, port: int, local_port: int = 0) -> Forward:
        """Opens a local port that leads to a port of the sandbox. By default any free local port.

        It keeps the sandbox while it is open.
        """
        _arguments.whole("port", port, 1, PORT_MAX)
        _arguments.whole("local_port", local_port, 0, PORT_MAX)
        pod = self._place().pod
        return Forward(lambda: _exec.open_port(self._connection, self.namespace, pod, port), self._use, local_port)

    # ---- commands ------------------------------------------------------------------------------------------------

    def run(
        self,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | int | None = None,
        stdin: str | bytes | None = None,
        timeout: float | None = None,
        retries: int = 0,
        check: bool = False,
        on_stdout: OnOutput | None = None,
        on_stderr: OnOutput | None = None,
    ) -> CommandResult:
        """Runs a command and waits for its end. The command is killed if the wait is interrupted, as by Ctrl-C.

        Args:
            command: A string is run by ``sh -c``; a list is a program and its arguments.
            env: Environment variables.
            cwd: The folder that it runs in, relative to the sandbox's work directory.
            user: The user that it runs as: a name or a number, or either of them with a group, such as ``1000:1000``.
            stdin: The content of its standard input. It is a part of the Task, so it must be below 1 MiB. Write more
                into a file with ``files.write``, and let the command read that file.
            timeout: The command and all its processes are killed after this many seconds. By default the operator
                decides (300).
            retries: How many further attempts the operator may make if it fails.
            check: Raise CommandFailed if it does not exit with 0.
            on_stdout: Called with the text of its output, as it comes.
            on_stderr: Called with the text of its errors, as it comes.

        Raises:
            CommandFailed: With ``check``, if it did not exit with 0; CommandTimeout if its time was over.
            TaskLost: Its pod, agent or sandbox was lost. It may have run, and was not repeated.
            SandboxGone: The sandbox was deleted.
        """
        step = _tasks.command_step(command, env, cwd, user, stdin)
        _arguments.callback("on_stdout", on_stdout)
        _arguments.callback("on_stderr", on_stderr)
        if on_stdout is None and on_stderr is None:
            task = _ops.run(self._execute([step], timeout=timeout, retries=retries, ttl=_tasks.RUN_TTL_S))
            return _tasks.checked(self._result(task), check)
        process = _ops.run(self._start(step, timeout, retries))
        try:
            process.follow(on_stdout, on_stderr)
            result = process.wait()
        except BaseException:
            process._task.cancel_quietly()
            raise
        return _tasks.checked(result, check)

    def _result(self, task: TaskResult) -> CommandResult:
        return task.knows(self._stored).result

    def _stored(self, file: str, timeout: float | None) -> bytes:
        """What the agent has kept of an output."""
        deadline = _arguments.deadline(timeout)
        cat = ["arl-sidecar", "cat", file]
        with self._exec(cat, container="sidecar", deadline=deadline, again=True) as process:
            data = b"".join(process.output(deadline=deadline))
            if process.code():
                said = process.errors.decode(errors="replace").strip()
                raise FileMissing(f"{file} cannot be had: {said}", path=file, hint="The agent drops the oldest ones.")
        return data

    def execute(
        self,
        steps: Sequence[Step],
        *,
        timeout: float | None = None,
        retries: int = 0,
        ttl: int | None = None,
        trace_id: str | None = None,
    ) -> TaskResult:
        """Runs several steps, one after the other, until one fails, and waits for the end.

        Args:
            steps: Dicts as in a Task, or ``Command`` and ``FilePatch``.
            timeout: Seconds for each step.
            retries: Further attempts if it fails.
            ttl: The finished Task is deleted after this many seconds; None: it is kept.
            trace_id: An identifier that appears in logs and Events.

        Returns:
            The Task, as a dict. A task that failed is no error: see ``state``.
        """
        return _ops.run(self._execute(steps, timeout=timeout, retries=retries, ttl=ttl, trace_id=trace_id))

    def _execute(self, steps: Sequence[Step], **options: Any) -> _ops.Op[TaskResult]:
        if steps is None:
            raise TypeError("steps must be a list of steps, and not None")
        task = yield from _tasks.execute(self._connection, self.name, self.namespace, steps, **options)
        return task.knows(self._stored)

    def start(
        self,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        user: str | int | None = None,
        stdin: str | bytes | None = None,
        timeout: float | None = None,
        retries: int = 0,
    ) -> Process:
        """Starts a command and does not wait for it; see ``run``."""
        return _ops.run(self._start(_tasks.command_step(command, env, cwd, user, stdin), timeout, retries))

    def _start(self, step: Step, timeout: float | None, retries: int) -> _ops.Op[Process]:
        body = _tasks.task_body(
            self.name, self.namespace, [step], timeout=timeout, retries=retries, ttl=_tasks.RUN_TTL_S
        )
        task = _tasks.Watched(self._connection, self.namespace, body["metadata"]["name"])
        limit = _tasks.wait_limit(1, timeout, retries)
        yield from task.begin(body, time.monotonic() + limit)
        return Process(self, task, limit)

    def process(self, task_name: str) -> Process:
        """Finds a command that was started before, also by another process.

        Raises:
            NotFound: There is no Task of this name, or it belongs to another sandbox.
        """
        if not _arguments.path(task_name, "task_name"):
            raise ValueError("task_name must not be empty")
        task = _tasks.Watched(self._connection, self.namespace, task_name)
        task.find()
        spec = task.state["spec"]
        if spec["sandboxRef"] != self.name:
            task.wait.future.cancel()
            raise NotFound(
                f"task {task_name} in namespace {self.namespace} is one of sandbox {spec['sandboxRef']}, "
                f"and not of {self.name}",
                object=task.state,
            )
        return Process(self, task, _tasks.limit_of(spec))
