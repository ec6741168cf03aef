"""Arguments: which ones are accepted, and the errors for wrong ones."""

import asyncio

import arl
import pytest
from arl import AsyncSandbox, Pool, Sandbox, _tasks, errors
from fake_server import refusal, serving


@pytest.fixture
def created(monkeypatch):
    """The bodies of the sandboxes that were made, with their clusters."""
    made = []

    def create(make, connection, body, **_):
        made.append((connection, body["metadata"]["namespace"], body["spec"]["poolRef"]))
        return make(body)
        yield
    monkeypatch.setattr(_tasks, "create_sandbox", create)
    return made


@pytest.mark.parametrize(("more", "wanted"), [({}, "n"), ({"namespace": "other"}, "other")])
def test_a_pool_does_for_its_name(created, more, wanted):
    pool, cluster = Pool("cluster", "n", "p"), ("cluster", wanted, "p")

    async def make():
        await AsyncSandbox.create(pool, **more)
    Sandbox.create(pool, **more)
    asyncio.run(make())
    assert created == [cluster, cluster]


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"concurrency": -1}, {"retries": -1}, {"concurrency": "4"}, {"concurrency": 1.5}, {"retries": None}, {"fn": "print"}])
def test_a_map_with_wrong_numbers_is_an_error_and_no_empty_result(wrong):
    (name,) = wrong

    fn = wrong.pop("fn", print)
    kind = ValueError if isinstance(wrong.get(name), int) else TypeError

    async def amap():
        return [x async for x in arl.amap(fn, [1], "p", **wrong)]
    with pytest.raises(kind, match=f"^{name} must be"):
        list(arl.map(fn, [1], "p", **wrong))
    with pytest.raises(kind, match=f"^{name} must be"):
        asyncio.run(amap())


NAN, INF = float("nan"), float("inf")
TIMES = [("5", TypeError), (True, TypeError), (NAN, ValueError), (INF, ValueError), (-1, ValueError), (1e300, ValueError)]
NUMBERS = [("5", TypeError), (True, TypeError), (1.5, TypeError), (-1, ValueError)]
NAMES = [(None, TypeError), (5, TypeError), ("", ValueError), ("A", ValueError), ("a_b", ValueError), ("-a", ValueError), ("..", ValueError), ("a/b", ValueError), ("a" * 300, ValueError)]
PAIRS = [("a", TypeError), ({"A": 1}, TypeError), ({1: "a"}, TypeError), ({"A": None}, TypeError), ({"A": b"a"}, TypeError)]
VARIABLES = [*PAIRS, ({"": "a"}, ValueError), ({"A=B": "a"}, ValueError), ({"A": "a\0b"}, ValueError)]
TEXTS = [(b"a", TypeError), (5, TypeError), ("", ValueError), ("a\0b", ValueError)]
LISTS = [("sleep 1", TypeError), (b"a", TypeError), ([1], TypeError), ([None], TypeError)]
PROGRAMS = [*LISTS, (None, TypeError), ([], ValueError), ([""], ValueError), (["a\0b"], ValueError)]
PORTS = [(0, ValueError), (-1, ValueError), (65536, ValueError), ("80", TypeError), ("80&x=1", TypeError), (1.5, TypeError), (True, TypeError), (None, TypeError)]
STEP = {"name": "x", "type": "Command", "command": ["true"]}


def of(function, argument, wrong):
    return [pytest.param(function, argument, value, kind, id=f"{argument}={str(value)[:20]!r}") for value, kind in wrong]


def box(c):
    return Sandbox(c, "n", {"metadata": {"name": "s", "uid": "u"}, "spec": {}})


def create(c, pool="p", **more):
    return Sandbox.create(pool, connection=c, **more)


def run(c, command="true", **more):
    return box(c).run(command, **more)


def execute(c, steps=(STEP,), **more):
    return box(c).execute(list(steps) if steps == (STEP,) else steps, **more)


def pool(c, name="p", image="image", **more):
    return Pool.create(name, image, connection=c, **more)


def manager(c, namespace="n", **more):
    m = arl.WarmPoolManager(namespace, **more)
    m._connection = c
    return m


def made(c, name="p", image="image", **more):
    return manager(c).create_warmpool(name, image, **more)


def session(c, **more):
    s = arl.SandboxSession("p", "n", **more)
    s._connection = c
    return s.create_sandbox()


WRONG = [
    *of(create, "timeout", TIMES), *of(create, "idle_timeout", NUMBERS), *of(create, "max_lifetime", NUMBERS), *of(create, "pool", NAMES),
    *of(create, "name", NAMES[1:]), *of(create, "namespace", NAMES[3:]), *of(create, "env", VARIABLES), *of(create, "labels", PAIRS),
    *of(run, "command", [*LISTS[1:], (None, TypeError), ([], ValueError), ("a\0b", ValueError)]), *of(run, "timeout", [*TIMES, (0, ValueError), (1e-5, ValueError)]),
    *of(run, "retries", NUMBERS), *of(run, "env", VARIABLES), *of(run, "cwd", [(5, TypeError), ("a\0b", ValueError)]), *of(run, "user", [(1.5, TypeError), (True, TypeError)]),
    *of(run, "stdin", [(5, TypeError), ([b"a"], TypeError)]), *of(run, "on_stdout", [("print", TypeError)]), *of(run, "on_stderr", [(5, TypeError)]),
    *of(lambda c, command: box(c).shell(command), "command", PROGRAMS), *of(lambda c, command: box(c).pty(command=command), "command", PROGRAMS),
    *of(lambda c, port: box(c).forward(port), "port", PORTS), *of(lambda c, local_port: box(c).forward(80, local_port), "local_port", PORTS[1:]),
    *of(execute, "steps", [("echo", TypeError), (None, TypeError), ([None], TypeError), ((s for s in [STEP]), TypeError), ([{"content": b"x"}], TypeError)]),
    *of(execute, "timeout", TIMES), *of(execute, "ttl", NUMBERS), *of(execute, "trace_id", [(5, TypeError)]),
    *of(lambda c, timeout: box(c).wait_ready(timeout), "timeout", TIMES),
    *of(pool, "name", NAMES), *of(pool, "image", TEXTS), *of(pool, "replicas", NUMBERS), *of(pool, "command", LISTS), *of(pool, "resources", [("a", TypeError)]),
    *of(pool, "workspace", TEXTS), *of(pool, "node_selector", PAIRS), *of(lambda c, name: Pool.get(name, connection=c), "name", NAMES),
    *of(lambda c, image: Pool.ensure(image, connection=c), "image", TEXTS), *of(lambda c, replicas: Pool(c, "n", "p").scale(replicas), "replicas", NUMBERS),
    *of(lambda c, timeout: Pool(c, "n", "p").wait_ready(timeout), "timeout", TIMES),
    *of(made, "name", NAMES), *of(made, "image", TEXTS), *of(made, "replicas", NUMBERS), *of(made, "command", LISTS), *of(made, "resources", [("a", TypeError)]),
    *of(made, "workspace_path", TEXTS), *of(lambda c, name: manager(c).get_warmpool(name), "name", NAMES),
    *of(lambda c, name: manager(c).delete_warmpool(name), "name", NAMES),
    *of(lambda c, namespace: manager(c, namespace).list_warmpools(), "namespace", NAMES),
    *of(lambda c, timeout: manager(c).wait_for_warmpool_ready("p", timeout=timeout), "timeout", TIMES),
    *of(session, "timeout", TIMES), *of(lambda c, name: Sandbox.attach(name, connection=c), "name", NAMES),
]


@pytest.fixture(scope="module")
def server():
    with serving(lambda request: refusal(500, "InternalError", "it was asked")) as found:
        yield found


@pytest.mark.parametrize(("function", "argument", "value", "kind"), WRONG)
def test_what_cannot_be_is_said_before_anything_is_asked(server, function, argument, value, kind):
    with pytest.raises(kind, match=argument) as e:
        function(server.connection, **{argument: value})
    assert isinstance(e.value, kind) and not isinstance(e.value, errors.ClusterUnreachable)
    assert server.seen == []


SECRET = "s3cret"


@pytest.mark.parametrize(("env", "says"), [
    ({"TOKEN": SECRET.encode()}, r"^env\['TOKEN'\] must be a str"), ({"TOKEN": SECRET + "\0"}, r"^env\['TOKEN'\] must have no NUL"),
    ({f"TOKEN={SECRET}": ""}, "^env must have names.*'TOKEN'"), ([f"TOKEN={SECRET}"], "^env must be a dict.*list"), (f"TOKEN={SECRET}", "^env must be a dict.*str"),
])
def test_no_value_of_a_variable_is_in_an_error(server, env, says):
    for call in (run, create):
        with pytest.raises((TypeError, ValueError), match=says) as e:
            call(server.connection, env=env)
        assert SECRET not in str(e.value)


def test_no_value_of_a_variable_is_in_an_error_of_a_model():
    with pytest.raises(ValueError, match="env.TOKEN") as e:
        arl.Command(command=["a"], env={"TOKEN": [SECRET]})
    assert SECRET not in str(e.value)


@pytest.mark.parametrize("call", [lambda c: run(c, "\0" + "x" * 10_000), lambda c: run(c, b"x" * 10_000), lambda c: create(c, "X" * 10_000), lambda c: create(c, timeout=["x"] * 10_000)])
def test_an_error_does_not_have_all_of_a_long_value(server, call):
    with pytest.raises((TypeError, ValueError)) as e:
        call(server.connection)
    assert len(str(e.value)) < 400


def test_what_none_is_not_taken_for_is_not_offered(server):
    for wrong in (float("inf"), "5", None):
        with pytest.raises((TypeError, ValueError), match="^timeout must be") as e:
            create(server.connection, timeout=wrong)
        assert "None for no limit" not in str(e.value)


def test_what_can_be_is_taken():
    step = _tasks.command_step(["a", "b"], {"A": ""}, "x", 0, bytearray(b"\xff"))
    assert (step["command"], step["env"], step["user"], step["stdin"]) == (["a", "b"], {"A": ""}, "0", "/w==")
    assert _tasks.task_body("s", "n", [STEP], timeout=0.001)["spec"]["timeout"] == "1ms"
    assert _tasks.sandbox_body("p", "n", name="a.b-c", idle_timeout=0)["spec"]["idleTimeoutSeconds"] == 0
