"""Fields of steps beside the command: standard input, user and the like. On a real sidecar and runner."""
import base64
import hashlib
import os
import shutil
import subprocess

CASES = []


def case(f):
    CASES.append(f)
    return f


def equal(got, want):
    if got != want:
        raise AssertionError(f"got  {got!r}\nwant {want!r}")


def run(pod, *steps):
    """Runs steps. Returns exit code, stdout and stderr."""
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
    """Users and groups come from the machine's /etc/passwd and /etc/group. The home of nobody there does not exist."""
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


# ---- files that exist but cannot be executed

def program(pod, name, data, mode=0o755):
    """Makes a file below programs/. Returns its relative name."""
    path = os.path.join(pod.work, "programs", name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)
    return "programs/" + name


def cannot(pod, name, code, why, *args, **more):
    equal(run(pod, step(name, *args, **more)), (code, b"", f"arl: {name}: cannot execute: {why}\n"))


@case
def a_script_with_windows_line_ends(pod):
    cannot(pod, program(pod, "crlf", b"#!/bin/sh\r\necho hi\r\n"), 127,
           'its first line ends in a carriage return (CR), which makes the interpreter "/bin/sh\\r": save the file with LF line ends')


@case
def a_script_without_its_interpreter(pod):
    cannot(pod, program(pod, "nowhere", b"#!/opt/no/such -x\n"), 127, "its interpreter /opt/no/such does not exist")
    cannot(pod, program(pod, "spaces", b"#! \t/opt/no/such\t-x\n"), 127, "its interpreter /opt/no/such does not exist")
    inner = program(pod, "inner", b"#!/opt/no/such\n")
    outer = program(pod, "outer", f"#!{pod.work}/{inner}\n".encode())
    cannot(pod, outer, 127, f"its interpreter {pod.work}/{inner}: its interpreter /opt/no/such does not exist")


@case
def an_interpreter_that_is_no_program(pod):
    cannot(pod, program(pod, "folder-for-sh", b"#!/etc\n"), 126, "its interpreter /etc: it is a directory")
    cannot(pod, program(pod, "text-for-sh", b"#!/etc/passwd\n"), 126,
           "its interpreter /etc/passwd: Permission denied: it has no execute bit (mode 0644): chmod +x, or name its interpreter, as in sh FILE")
    cannot(pod, program(pod, "no-name", b"#!\necho\n"), 126, "its first line names no interpreter behind #!")


@case
def a_script_without_an_execute_bit(pod):
    cannot(pod, program(pod, "plain", b"#!/bin/sh\n", 0o644), 126,
           "Permission denied: it has no execute bit (mode 0644): chmod +x, or name its interpreter, as in sh FILE")
    os.chmod(pod.dir, 0o755)
    cannot(pod, program(pod, "others", b"#!/bin/sh\n", 0o700), 126,
           "Permission denied: user 4321 may not execute it (mode 0700, owner 0:0)", user="4321:4321")


@case
def what_is_no_program_of_this_machine(pod):
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00"
    cannot(pod, program(pod, "arm", elf + b"\xb7\x00" + bytes(300)), 126, "it is a program for aarch64, and this machine is x86_64")
    cannot(pod, program(pod, "exe", b"MZ" + bytes(300)), 126, "it is a program for Windows")
    cannot(pod, program(pod, "empty", b""), 126, "it is empty")
    cannot(pod, program(pod, "text", b"echo hi\n"), 126,
           "it is no program, and has no #! line: begin it with one, or name its interpreter, as in sh FILE")
    cannot(pod, program(pod, "bom", b"\xef\xbb\xbf#!/bin/sh\n"), 126,
           "a byte order mark (BOM) stands in front of its #!: save it without")


@case
def a_program_whose_loader_is_missing(pod):
    """Like a program for musl in an image with glibc."""
    with open("/bin/true", "rb") as f:
        data = f.read()
    loader = b"/lib64/ld-linux-x86-64.so.2\0"
    equal(data.count(loader), 1)
    cannot(pod, program(pod, "musl", data.replace(loader, b"/lib64/ld-musl-x86-64-no.so\0")), 127,
           "its loader /lib64/ld-musl-x86-64-no.so does not exist: it was built for another C library than this image has")


@case
def a_link_to_nowhere(pod):
    path = os.path.join(pod.work, "programs")
    os.makedirs(path, exist_ok=True)
    os.symlink("/opt/no/such", os.path.join(path, "link"))
    cannot(pod, "programs/link", 127, "it is a symbolic link to /opt/no/such, which does not exist")
    cannot(pod, "/etc", 126, "it is a directory")


@case
def what_is_found_in_path_and_cannot_be_executed(pod):
    """The search goes on in the next folders of PATH. If none has a file that can be executed, the error names the first file found."""
    bad = os.path.dirname(os.path.join(pod.work, program(pod, "path/tool", b"#!/bin/sh\r\n")))
    cannot(pod, "tool", 127, f'{bad}/tool: its first line ends in a carriage return (CR), which makes the interpreter "/bin/sh\\r": '
           "save the file with LF line ends", env={"PATH": f"{bad}:/usr/bin:/bin"})
    program(pod, "good/tool", b"#!/bin/sh\necho good\n")
    equal(run(pod, step("tool", env={"PATH": f"{bad}:{pod.work}/programs/good:/bin"})), (0, b"good\n", ""))
    equal(run(pod, step("tool", env={"PATH": "/usr/bin:/bin"})), (127, b"", "arl: tool: command not found\n"))


# ---- the image's files below the workspace

def copy(pod, source, target):
    runner = os.path.join(pod.build, "sidecar", "runner", "arl-runner")
    r = subprocess.run([runner, "copy-workspace", source, target], capture_output=True, text=True, timeout=60, check=False)
    return r.returncode, r.stdout, r.stderr


# net_bind_service=ep, as setcap writes it
CAPABILITIES = bytes.fromhex("0100000200040000000000000000000000000000")


def workspace(pod, name):
    """Makes a folder like the /workspace of an image, and an empty volume."""
    source, target = (os.path.join(pod.dir, name, part) for part in ("image", "volume"))
    os.makedirs(os.path.join(source, "sub", "empty"))
    os.makedirs(target)
    for path, mode, owner in (("run", 0o4755, 0), ("sub/mine", 0o640, 1234)):
        full = os.path.join(source, path)
        with open(full, "w", encoding="utf-8") as f:
            f.write(path * 1000)
        os.chown(full, owner, owner)
        os.chmod(full, mode)
        os.utime(full, (1600000000, 1700000000))
    os.symlink("/no/such", os.path.join(source, "link"))
    os.setxattr(os.path.join(source, "run"), "user.colour", b"blue")
    os.setxattr(os.path.join(source, "sub", "mine"), "security.capability", CAPABILITIES)
    os.chmod(os.path.join(source, "sub"), 0o2711)
    return source, target


def listing(root):
    out = {}
    for folder, folders, files in os.walk(root):
        for path in [os.path.join(folder, n) for n in folders + files]:
            st = os.lstat(path)
            what = os.readlink(path) if os.path.islink(path) else open(path, "rb").read() if os.path.isfile(path) else None
            times = st.st_mtime if not os.path.islink(path) else None
            out[os.path.relpath(path, root)] = (st.st_mode, st.st_uid, st.st_gid, times, what)
    return out


@case
def the_workspace_of_an_image_is_copied(pod):
    source, target = workspace(pod, "copied")
    equal(copy(pod, source, target), (0, "", ""))
    equal(listing(target), listing(source))
    equal(os.getxattr(os.path.join(target, "run"), "user.colour"), b"blue")
    equal(os.getxattr(os.path.join(target, "sub", "mine"), "security.capability"), CAPABILITIES)


@case
def a_copy_happens_once(pod):
    """An init container runs again when the kubelet makes the pod's containers anew. The files are the user's then: they stay."""
    source, target = workspace(pod, "once")
    equal(copy(pod, source, target), (0, "", ""))
    os.unlink(os.path.join(target, "run"))
    with open(os.path.join(target, "sub", "mine"), "w", encoding="utf-8") as f:
        f.write("changed")
    before = listing(target)
    equal(copy(pod, source, target), (0, "", ""))
    equal(listing(target), before)


@case
def a_copy_that_was_cut_off_is_done_again(pod):
    for name, there in (("while copying", ".arl-copying"), ("while moving", ".arl-copied")):
        source, target = workspace(pod, name)
        equal(copy(pod, source, target), (0, "", ""))
        want = listing(target)
        os.mkdir(os.path.join(target, there))
        for entry in ("run", "sub") if there == ".arl-copied" else ("run", "sub", "link"):
            os.rename(os.path.join(target, entry), os.path.join(target, there, entry))
        equal(copy(pod, source, target), (0, "", ""))
        equal(listing(target), want)


@case
def no_workspace_in_the_image_and_no_room_in_the_volume(pod):
    source, target = workspace(pod, "none")
    equal(copy(pod, os.path.join(source, "nosuch"), target), (0, "", ""))
    equal(copy(pod, os.path.join(source, "run"), target), (0, "", ""))
    equal(os.listdir(target), [])
    why = f"arl-runner: copy {source} of the image into the volume: %s; the template's annotation arl.infra.io/copy-workspace: \"false\" leaves these files out"
    equal(copy(pod, source, "/no/such"), (1, "", why % "No such file or directory" + "\n"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", target], check=True)
    try:
        code, _, err = copy(pod, source, target)
        equal((code, err.splitlines()[-1]), (1, why % "No space left on device"))
    finally:
        subprocess.run(["umount", target], check=True)


# A user without rights, and a root with few capabilities.
USERS = {"user": ["--reuid", "1000", "--regid", "1000", "--clear-groups"], "root": ["--bounding-set", "-all,+chown,+setuid,+setgid"]}


def copy_as(pod, folder, user):
    """Copies `image` to `volume` in the folder as this user. The paths are relative: the user may not be able to reach the folder."""
    shutil.copy(os.path.join(pod.build, "sidecar", "runner", "arl-runner"), os.path.join(folder, "runner"))
    r = subprocess.run(["setpriv", *USERS[user], "./runner", "copy-workspace", "image", "volume"],
                       capture_output=True, text=True, timeout=60, check=False, cwd=folder)
    return r.returncode, r.stdout, r.stderr.replace(os.path.realpath(folder), "")


def image_of_user(pod, name):
    """Makes an image's folders, which belong to user 1000 and are partly read-only, and a volume with the mode that Kubernetes gives it."""
    folder = os.path.join(pod.dir, name)
    source, target = os.path.join(folder, "image"), os.path.join(folder, "volume")
    for path in ("ro/deep", "rw"):
        os.makedirs(os.path.join(source, path))
    for path in ("ro/file", "ro/deep/file", "rw/file", "file"):
        with open(os.path.join(source, path), "w", encoding="utf-8") as f:
            f.write(path)
    for path, mode in (("ro/deep", 0o555), ("ro", 0o555), ("ro/file", 0o444), ("ro/deep/file", 0o444), ("rw/file", 0o755), ("rw", 0o755), ("file", 0o644)):
        os.chown(os.path.join(source, path), 1000, 1000)
        os.chmod(os.path.join(source, path), mode)
        os.utime(os.path.join(source, path), (1600000000, 1700000000))
    os.mkdir(target)
    os.chmod(target, 0o777)
    return folder, source, target


@case
def folders_that_may_not_be_written_are_copied(pod):
    """Read-only folders are copied as well, also by a run that follows one that was cut off at any place."""
    for user in USERS:
        folder, source, target = image_of_user(pod, "ro " + user)
        equal(copy_as(pod, folder, user), (0, "", ""))
        equal(listing(target), listing(source))
        for there, moved in ((".arl-copying", ("ro", "rw")), (".arl-copied", ("ro", "rw")), (".arl-copied", ("rw",)), (".arl-copied", ())):
            os.mkdir(os.path.join(target, there))
            if user == "user":
                os.chown(os.path.join(target, there), 1000, 1000)
            for entry in moved:
                os.rename(os.path.join(target, entry), os.path.join(target, there, entry))
            if there == ".arl-copying":
                os.unlink(os.path.join(target, "file"))
            elif "ro" not in moved:     # the folder was moved, but has not its attributes yet
                os.chmod(os.path.join(target, "ro"), 0o700)
                os.chown(os.path.join(target, "ro"), 1000 if user == "user" else 0, -1)
            equal(copy_as(pod, folder, user), (0, "", ""))
            equal(listing(target), listing(source))


@case
def what_the_user_cannot_copy_is_left_out(pod):
    folder, source, target = image_of_user(pod, "left out")
    want = listing(source)
    os.makedirs(os.path.join(source, "shut", "in"))
    os.mkdir(os.path.join(source, ".arl-copied"))
    os.mkdir(os.path.join(source, "closed"))
    os.chmod(os.path.join(source, "closed"), 0o444)
    os.chmod(os.path.join(source, "shut"), 0o700)
    with open(os.path.join(source, "rw", "mine"), "wb", opener=lambda p, flags: os.open(p, flags, 0o600)):
        os.utime(os.path.join(source, "rw"), (1600000000, 1700000000))
    code, out, err = copy_as(pod, folder, "user")
    equal((code, out, sorted(err.splitlines())), (0, "", [f"arl-runner: /image/{path} of the image is left out: {why}" for path, why in (
        (".arl-copied", "File exists"), ("closed", "Permission denied"), ("rw/mine", "Permission denied"), ("shut", "Permission denied"))]))
    equal(listing(target), want)


@case
def folders_too_deep_are_left_out_and_a_volume_of_others_is_none(pod):
    folder, source, target = image_of_user(pod, "deep")
    os.makedirs(os.path.join(source, *["d"] * 202))
    code, _, err = copy_as(pod, folder, "user")
    equal((code, err), (0, "arl-runner: /image" + "/d" * 201 + " of the image is left out: Too many levels of symbolic links\n"))
    equal(os.path.isdir(os.path.join(target, *["d"] * 200)), True)
    folder, _, target = image_of_user(pod, "others")
    os.chmod(target, 0o755)
    equal(copy_as(pod, folder, "user"), (0, "", "arl-runner: /volume/.arl-copying cannot be made, so nothing is copied: Permission denied\n"))
    equal(os.listdir(target), [])


@case
def holes_of_files_stay_holes(pod):
    source, target = workspace(pod, "holes")
    for name, data, size in (("middle", 32 << 20, 64 << 20), ("end", (64 << 20) - 4096, 64 << 20), ("begin", 0, 64 << 20), ("all", None, 64 << 20)):
        with open(os.path.join(source, name), "wb") as f:
            f.truncate(size)
            if data is not None:
                f.seek(data)
                f.write(b"data" * 1024)
    equal(copy(pod, source, target), (0, "", ""))
    equal(listing(target), listing(source))
    for name in ("middle", "end", "begin", "all"):
        used = os.stat(os.path.join(target, name)).st_blocks * 512
        equal((name, used < 1 << 20), (name, True))
