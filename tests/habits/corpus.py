"""Patches that git makes, with the trees before and after. All of it follows from a seed."""
import os
import random
import shutil
import subprocess
from dataclasses import dataclass

ENV = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
       "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
NAMES = ["a.txt", "src/b.c", "src/deep/er/c.py", "with space.txt", 'qu"ote.txt', "\u00fcmlaut.txt", "tab\there.txt", "sp ace/d d.txt",
         "bin/run.sh", "x/y/z", "back\\slash", "-dash", "new\nline"]
WORDS = ["alpha", "beta", "gamma", "x = 1", "\tif (a)", "", "}", "// t\u00e4xt", "return 0;"]
OPTIONS = [[], ["-M"], ["-M", "-C", "--find-copies-harder"], ["--full-index"], ["-U1"], ["-U5"], ["--patience", "-M"], ["--no-renames"]]
KINDS = ["edit", "edit", "edit", "new", "delete", "rename", "rename and edit", "copy", "mode", "mode and edit", "empty", "line ends",
         "last newline"]
SPECIAL = ["link", "binary"]    # changes that arl cannot apply
# Text as people and models write it between the files of a patch.
BETWEEN = ["The next one.\n", "\nThen there is:\n\n- one thing\n- **another**\n\n---\n\n", "\n\twords(\"and code\")\n", "> said somebody\n\n",
           "From now on\n\n* a point\n"]


@dataclass
class Patch:
    diff: bytes
    ours: str       # a tree to which arl applies the patch
    theirs: str     # the same tree, after git has applied the patch
    before: dict
    special: bool   # the patch has a change that arl cannot apply


def git(folder, *args, fails=False):
    r = subprocess.run(["git", *args], cwd=folder, env={**os.environ, **ENV}, capture_output=True, check=False)
    if r.returncode != 0 and not fails:
        raise RuntimeError(f"git {' '.join(args)}: {r.stderr.decode(errors='replace')}")
    return r


def tree(root):
    """The tree in a form that can be compared: names, content, and which files are executable; also empty folders."""
    found = {}
    for folder, folders, files in os.walk(root):
        if not folders and not files and folder != root:
            found[os.path.relpath(folder, root)] = "empty folder"
        for name in files:
            path = os.path.join(folder, name)
            if os.path.islink(path):
                found[os.path.relpath(path, root)] = os.readlink(path)
            else:
                with open(path, "rb") as f:
                    found[os.path.relpath(path, root)] = (os.stat(path).st_mode & 0o777, f.read())
    return found


def text(rnd):
    lines = [rnd.choice(WORDS) + (str(rnd.randrange(9)) if rnd.random() < .6 else "") for _ in range(rnd.randrange(40))]
    end = "\r\n" if rnd.random() < .2 else "\n"
    out = end.join(lines) + (end if lines and rnd.random() < .8 else "")
    return (b"\xef\xbb\xbf" if rnd.random() < .1 else b"") + out.encode(rnd.choice(["utf-8", "utf-8", "latin-1"]))


def put(root, name, data, mode=0o644):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def edit(rnd, path):
    with open(path, "rb") as f:
        lines = f.read().split(b"\n")
    for _ in range(rnd.randrange(1, 4)):
        at, what = rnd.randrange(len(lines)), rnd.random()
        if what < .4:
            lines[at] = b"changed" + str(rnd.randrange(99)).encode()
        elif what < .7:
            lines.insert(at, b"inserted")
        elif len(lines) > 1:
            del lines[at]
    with open(path, "wb") as f:
        f.write(b"\n".join(lines))


def change(rnd, root, kind):
    """Makes a random change of this kind."""
    files = sorted(n for n, v in tree(root).items() if isinstance(v, tuple) and not n.startswith(".git"))
    if kind == "new":
        put(root, rnd.choice(["n/new.txt", "new \u00fc.txt", "new.sh"]), text(rnd), rnd.choice([0o644, 0o755]))
    if kind == "empty":
        put(root, f"empty{rnd.randrange(9)}", b"")
    if kind == "binary":
        put(root, "binary.dat", bytes(range(256)))
    if kind == "link":
        os.symlink("a.txt", os.path.join(root, "link"))
    if not files:
        return
    name = rnd.choice(files)
    path = os.path.join(root, name)
    if "edit" in kind:
        edit(rnd, path)
    if "mode" in kind:
        os.chmod(path, os.stat(path).st_mode ^ 0o111)
    if "rename" in kind:
        to = os.path.join(root, rnd.choice(["moved", "mo ved", "ren/a"]), os.path.basename(name))
        os.makedirs(os.path.dirname(to), exist_ok=True)
        os.rename(path, to)
    if kind == "copy":
        to = os.path.join(root, f"copied{rnd.randrange(9)}")
        if to != path:
            shutil.copy(path, to)
    if kind == "delete":
        os.unlink(path)
    if kind in ("line ends", "last newline"):
        with open(path, "rb") as f:
            data = f.read()
        if kind == "line ends":
            data = data.replace(b"\r\n", b"\n") if b"\r\n" in data else data.replace(b"\n", b"\r\n")
        else:
            data = data[:-1] if data.endswith(b"\n") else data + b"\n"
        with open(path, "wb") as f:
            f.write(data)


def with_words(rnd, diff):
    """Adds text in front of files and at the end of the patch, which git skips."""
    lines = diff.splitlines(keepends=True)
    starts = [i for i, line in enumerate(lines) if line.startswith(b"diff --git ")] + [len(lines)]
    for i in reversed(starts):
        if rnd.random() < .6:
            lines.insert(i, rnd.choice(BETWEEN).encode())
    return b"".join(lines)


def attempt(folder, rnd, special):
    """Makes a Patch of random changes. None if nothing has changed, or if git does not apply its own patch."""
    work = os.path.join(folder, "work")
    os.makedirs(work)
    git(work, "init", "-q")
    for name in rnd.sample(NAMES, rnd.randrange(2, 8)):
        put(work, name, text(rnd), 0o755 if rnd.random() < .2 else 0o644)
    git(work, "add", "-A")
    git(work, "commit", "-qm", "one")
    trees = [os.path.join(folder, name) for name in ("ours", "theirs")]
    for t in trees:
        shutil.copytree(work, t, ignore=shutil.ignore_patterns(".git"))
    for _ in range(rnd.randrange(1, 5)):
        change(rnd, work, rnd.choice(KINDS))
    if special:
        change(rnd, work, rnd.choice(SPECIAL))
    git(work, "add", "-A")
    options = rnd.choice(OPTIONS)
    if not git(work, "status", "--porcelain").stdout:
        return None
    if rnd.random() < .15:
        git(work, "commit", "-qm", "two")
        diff = git(work, "format-patch", "-1", "--stdout", *options).stdout
    else:
        diff = git(work, "diff", "--cached", *(["--binary"] if special else []), *options).stdout
    if rnd.random() < .2:
        diff = with_words(rnd, diff)
    with open(os.path.join(folder, "patch"), "wb") as f:
        f.write(diff)
    if git(trees[1], "apply", os.path.join(folder, "patch"), fails=True).returncode != 0:
        return None
    return Patch(diff, trees[0], trees[1], tree(trees[0]), special)


def make(folder, seed, special):
    """The first patch of this seed that git applies. special: with a change that arl cannot apply."""
    rnd = random.Random(seed)
    for number in range(100):
        patch = attempt(os.path.join(folder, str(number)), rnd, special)
        if patch:
            return patch
    raise RuntimeError(f"seed {seed}: git applies none of its own patches")
