"""Steps beyond their command: standard input, another user, steps that go on. On a real sidecar and runner."""
import base64
import hashlib
import os

CASES = []


def case(f):
    CASES.append(f)
    return f


def equal(got, want):
    if got != want:
        raise AssertionError(f"got  {got!r}\nwant {want!r}")


def run(pod, *steps):
    """Exit code, stdout, stderr."""
    r = pod.run([s if isinstance(s, dict) else {"type": "Command", "command": s} for s in steps])
    return r.code, r.out, r.err.decode()


def step(*command, **more):
    return {"name": "s", "type": "Command", "command": list(command), **more}


@case
def stdin_is_read_to_its_end(pod):
    equal(run(pod, step("cat", stdin="a\nb")), (0, b"a\nb", ""))
    data = bytes(range(256)) * 2000
    equal(run(pod, step("sha256sum", stdin=base64.b64encode(data).decode(), stdinEncoding="base64"), step("wc", "-c")),
          (0, hashlib.sha256(data).hexdigest().encode() + b"  -\n0\n", ""))
    equal(run(pod, step("true", stdin="x" * 1000000)), (0, b"", ""))
    equal(run(pod, step("sh", "-c", "head -c 3; cat >/dev/null", stdin="abcdef")), (0, b"abc", ""))
    equal(run(pod, step("cat", stdin="***", stdinEncoding="base64")), (1, b"", 'arl: step "s": stdin is not base64\n'))


@case
def stdin_from_a_file(pod):
    with open(os.path.join(pod.work, "input"), "w", encoding="utf-8") as f:
        f.write("from a file\n")
    os.mkfifo(os.path.join(pod.work, "input-fifo"))
    equal(run(pod, step("cat", stdinFile="input")), (0, b"from a file\n", ""))
    equal(run(pod, step("cat", stdinFile=os.path.join(pod.work, "input"))), (0, b"from a file\n", ""))
    equal(run(pod, step("cat", stdinFile="nosuch")), (1, b"", "arl: stdinFile nosuch: No such file or directory\n"))
    equal(run(pod, step("cat", stdinFile="input-fifo")), (1, b"", "arl: stdinFile input-fifo: not a regular file\n"))
    equal(run(pod, step("cat", stdinFile=".")), (1, b"", "arl: stdinFile .: Is a directory\n"))
    equal(run(pod, step("cat", stdin="x", stdinFile="input")), (1, b"", 'arl: step "s": stdin and stdinFile do not go together\n'))


@case
def another_user(pod):
    """By the machine's own passwd and group: nobody has its group, and a home that is not there."""
    os.chmod(pod.dir, 0o755)
    show = ("sh", "-c", 'echo "$(id -u):$(id -g) $(id -G) $HOME"')
    equal(run(pod, step(*show, user="nobody")), (0, b"65534:65534 65534 /nonexistent\n", ""))
    equal(run(pod, step(*show, user="4321")), (0, b"4321:0 0 /\n", ""))
    equal(run(pod, step(*show, user="4321:8765")), (0, b"4321:8765 8765 /\n", ""))
    equal(run(pod, step(*show, user="nobody:daemon", env={"HOME": "/mine"})), (0, b"65534:1 1 /mine\n", ""))
    equal(run(pod, step("id", user="no-such-user")),
          (126, b"", 'arl: user "no-such-user": there is no such name in the container\'s /etc/passwd\n'))
    equal(run(pod, step("id", user="nobody:no-such-group")),
          (126, b"", 'arl: user "nobody:no-such-group": there is no such group in the container\'s /etc/group\n'))


@case
def a_file_of_another_user(pod):
    folder = os.path.join(pod.work, "theirs")
    os.makedirs(folder)
    os.chown(folder, 4321, 4321)
    write = {"name": "w", "type": "FilePatch", "path": "theirs/f", "content": "x", "user": "4321:4321"}
    equal(run(pod, write), (0, b"File created: theirs/f\n", ""))
    st = os.stat(os.path.join(folder, "f"))
    equal((st.st_uid, st.st_gid), (4321, 4321))
    code, _, err = run(pod, {**write, "path": "/root/arl-test-not-yours"})
    equal((code, err), (1, "arl: /root/arl-test-not-yours: Permission denied\n"))


@case
def a_step_that_lets_others_go_on(pod):
    equal(run(pod, step("sh", "-c", "echo 1; exit 3", onError="Continue"), step("sh", "-c", "echo 2; exit 4", onError="Continue"), step("echo", "3")),
          (3, b"1\n2\n3\n", ""))
    equal(run(pod, step("false", onError="Stop"), step("echo", "never")), (1, b"", ""))
    equal(run(pod, step("no-such-program", onError="Continue"), step("echo", "on")), (127, b"on\n", "arl: no-such-program: command not found\n"))


@case
def an_argument_that_is_too_long(pod):
    code, _, err = run(pod, step("echo", "x" * 140000))
    equal((code, err), (126, "arl: echo: an argument is longer than 128 KiB, or all are too long together: write it into a file with a "
                             "FilePatch step, or give it as stdin\n"))
