"""FilePatch with patches: git's headers, refusals, and files that cannot be replaced. On a real sidecar and runner."""
import base64
import os
import shutil
import stat
import subprocess

import corpus

CASES = []
HUNK = "@@ -1 +1 @@\n-a\n+b\n"
RELATIVE = 'names in a patch are relative, without "." and ".."'


def case(f):
    CASES.append(f)
    return f


def equal(got, want):
    if got != want:
        raise AssertionError(f"got  {got!r}\nwant {want!r}")


def tree_step(diff, **more):
    return {"name": "d", "type": "FilePatch", "patch": base64.b64encode(diff).decode(), "encoding": "base64", **more}


class Tree:
    """A folder of files for one case."""

    def __init__(self, pod, name, **files):
        self.pod, self.root = pod, os.path.join(pod.work, name)
        os.makedirs(self.root)
        for n, data in files.items():
            self.put(n.replace("_", "."), data)

    def path(self, name):
        return os.path.join(self.root, name)

    def put(self, name, data, mode=0o644):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as f:
            f.write(data if isinstance(data, bytes) else data.encode())
        os.chmod(self.path(name), mode)

    def get(self, name):
        with open(self.path(name), "rb") as f:
            return f.read().decode()

    def mode(self, name):
        return stat.S_IMODE(os.stat(self.path(name)).st_mode)

    def names(self):
        return sorted(os.path.relpath(os.path.join(d, f), self.root) for d, _, fs in os.walk(self.root) for f in fs)

    def apply(self, diff, **more):
        """Applies a patch with a FilePatch step. Returns exit code, stdout and stderr."""
        r = self.pod.run([{"name": "d", "type": "FilePatch", "patch": diff, "workDir": self.root, **more}])
        return r.code, r.out.decode(), r.err.decode()

    def write(self, name, content, **more):
        r = self.pod.run([{"name": "w", "type": "FilePatch", "path": name, "content": content, "workDir": self.root, **more}])
        return r.code, r.out.decode(), r.err.decode()


def mount(pod, tree, script):
    """Runs a script as a step, since mounts must be made in the container's own mount namespace."""
    r = pod.run([{"name": "s", "type": "Command", "command": ["sh", "-c", script], "workDir": tree.root}])
    equal((r.code, r.err), (0, b""))


def names(name, to=None):
    return f"--- a/{name}\n+++ b/{to or name}\n"


@case
def several_files_in_one_patch(pod):
    t = Tree(pod, "several", f="a\n", g="a\n")
    diff = names("f") + HUNK + names("g") + HUNK + "--- /dev/null\n+++ b/new/h\n@@ -0,0 +1 @@\n+h\n"
    equal(t.apply(diff), (0, "File patched: f\nFile patched: g\nFile created: new/h\n", ""))
    equal((t.get("f"), t.get("g"), t.get("new/h")), ("b\n", "b\n", "h\n"))


@case
def all_or_nothing(pod):
    t = Tree(pod, "nothing", f="a\n", g="x\n")
    code, out, err = t.apply(names("f") + HUNK + "--- /dev/null\n+++ b/n/h\n@@ -0,0 +1 @@\n+h\n" + names("g") + HUNK)
    equal((code, out, err), (1, "", 'arl: g: hunk 1 does not fit: expected "a" at line 1, found "x"\n'))
    equal((t.names(), t.get("f")), (["f", "g"], "a\n"))
    equal(sorted(os.listdir(t.root)), ["f", "g"])


@case
def what_cannot_be_put_in_place_puts_the_others_back(pod):
    """The last of three files cannot be written: the first two get their old content back."""
    t = Tree(pod, "back", a="a\n", b="a\n")
    os.mkdir(t.path("ro"))
    t.put("ro/c", "a\n")
    if subprocess.run(["chattr", "+i", t.path("ro/c")], capture_output=True, check=False).returncode != 0:
        subprocess.run(["mount", "--bind", "-o", "ro", t.path("ro"), t.path("ro")], check=True)
    try:
        code, _, err = t.apply(names("a") + HUNK + names("b") + HUNK + names("ro/c") + HUNK)
        equal((code, err.startswith("arl: ro/c: ")), (1, True))
        equal((t.get("a"), t.get("b"), t.get("ro/c")), ("a\n", "a\n", "a\n"))
    finally:
        subprocess.run(["chattr", "-i", t.path("ro/c")], capture_output=True, check=False)
        subprocess.run(["umount", t.path("ro")], capture_output=True, check=False)


@case
def modes(pod):
    t = Tree(pod, "modes", f="a\n", g="a\n")
    os.chmod(t.path("g"), 0o750)
    diff = ("diff --git a/f b/f\nold mode 100644\nnew mode 100755\n"
            "diff --git a/g b/g\nold mode 100755\nnew mode 100644\nindex 1..2\n" + names("g") + HUNK +
            "diff --git a/s b/s\nnew file mode 100755\nindex 0..1\n--- /dev/null\n+++ b/s\n@@ -0,0 +1 @@\n+s\n")
    equal(t.apply(diff)[0], 0)
    equal((t.mode("f"), t.mode("g"), t.mode("s"), t.get("g")), (0o755, 0o640, 0o755, "b\n"))


@case
def empty_files_renames_copies_and_deletions(pod):
    t = Tree(pod, "moves", f="a\n", g="a\n", d="a\n")
    os.chmod(t.path("f"), 0o755)
    diff = ("diff --git a/e b/e\nnew file mode 100644\nindex 0000000..e69de29\n"
            "diff --git a/f b/x/f2\nsimilarity index 50%\nrename from f\nrename to x/f2\n" + names("f", "x/f2") + HUNK +
            "diff --git a/g b/g2\nsimilarity index 100%\ncopy from g\ncopy to g2\n"
            "diff --git a/d b/d\ndeleted file mode 100644\nindex 1..0\n--- a/d\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n")
    equal(t.apply(diff), (0, "File created: e\nFile renamed: f to x/f2\nFile copied: g to g2\nFile deleted: d\n", ""))
    equal((t.names(), t.get("x/f2"), t.mode("x/f2"), t.get("e")), (["e", "g", "g2", "x/f2"], "b\n", 0o755, ""))


@case
def two_files_change_places(pod):
    t = Tree(pod, "swap", a="A\n", b="B\n")
    diff = ("diff --git a/a b/b\nsimilarity index 100%\nrename from a\nrename to b\n"
            "diff --git a/b b/a\nsimilarity index 100%\nrename from b\nrename to a\n")
    equal(t.apply(diff)[0], 0)
    equal((t.names(), t.get("a"), t.get("b")), (["a", "b"], "B\n", "A\n"))


@case
def a_folder_that_is_empty_goes(pod):
    t = Tree(pod, "folders")
    t.put("x/y/f", "a\n")
    equal(t.apply("diff --git a/x/y/f b/f\nsimilarity index 100%\nrename from x/y/f\nrename to f\n")[0], 0)
    equal(os.listdir(t.root), ["f"])


def made(name, text):
    return f"diff --git a/{name} b/{name}\nnew file mode 100644\n--- /dev/null\n+++ b/{name}\n@@ -0,0 +1 @@\n+{text}\n"


def deleted(name, text):
    return f"diff --git a/{name} b/{name}\ndeleted file mode 100644\n--- a/{name}\n+++ /dev/null\n@@ -1 +0,0 @@\n-{text}\n"


def renamed(name, to):
    return f"diff --git a/{name} b/{to}\nsimilarity index 100%\nrename from {name}\nrename to {to}\n"


@case
def a_file_becomes_a_folder_and_a_folder_a_file(pod):
    rows = [
        (["x"], deleted("x", "a") + made("x/y", "n"), {"x/y": "n\n"}),
        (["x"], made("x/y/z", "n") + deleted("x", "a"), {"x/y/z": "n\n"}),
        (["x"], renamed("x", "x/y"), {"x/y": "a\n"}),
        (["d/f"], renamed("d/f", "d"), {"d": "a\n"}),
        (["q/d/f", "q/d/e/g", "q/h"], deleted("q/d/f", "a") + made("q/d", "n") + deleted("q/d/e/g", "a"), {"q/d": "n\n", "q/h": "a\n"}),
        (["x", "z/f"], renamed("x", "z") + renamed("z/f", "x/f"), {"z": "a\n", "x/f": "a\n"}),
    ]
    for number, (files, diff, want) in enumerate(rows):
        t = Tree(pod, f"kinds{number}")
        for name in files:
            t.put(name, "a\n")
        equal(t.apply(diff)[0::2], (0, ""))
        equal({n: t.get(n) for n in t.names()}, want)
        equal([n for n in os.listdir(t.root) if n.startswith(".")], [])
    t = Tree(pod, "emptyfolder")
    os.mkdir(t.path("d"))
    equal(t.apply(made("d", "n"))[0::2], (0, ""))    # an empty folder is removed for the file, as git does
    equal((t.names(), os.listdir(t.root)), (["d"], ["d"]))


@case
def a_folder_that_keeps_something_does_not_become_a_file(pod):
    rows = [("d/g", "d", "Is a directory"), ("d/e/g", "d", "Is a directory"), ("d/h/", "d", "Is a directory"),
            ("x", "x/y", "Not a directory"), ("", "n", "it is a file in the patch, and a folder of n/m as well")]
    for number, (other, name, why) in enumerate(rows):
        t = Tree(pod, f"keeps{number}", a="a\n")
        t.put("d/f", "a\n")
        if other.endswith("/"):
            os.mkdir(t.path(other))
        elif other:
            t.put(other, "a\n")
        before = sorted(os.walk(t.root))
        diff = made("new/er/f", "n") + deleted("d/f", "a") + made(name, "n") + (made("n/m", "n") if name == "n" else "")
        equal(t.apply(diff), (1, "", f"arl: {name}: {why}\n"))
        equal((sorted(os.walk(t.root)), t.get("d/f")), (before, "a\n"))


@case
def nothing_is_left_of_a_patch_that_cannot_be_put_in_place(pod):
    """The last file to be deleted is a mount and cannot be deleted: all that was done before is taken back."""
    t = Tree(pod, "takenback", x="a\n", gone="a\n", stays="a\n")
    t.put("d/f", "a\n", 0o600)
    os.chmod(t.path("d"), 0o2770)
    os.chown(t.path("x"), 1234, 2345)
    before = sorted(os.walk(t.root))
    kept = [(n, os.stat(t.path(n)).st_ino, os.stat(t.path(n)).st_mode, os.stat(t.path(n)).st_uid) for n in ("x", "d", "d/f")]
    diff = (renamed("d/f", "d") + made("n/o/p", "n") + names("stays") + HUNK + deleted("x", "a") + made("x/y/z", "n") + deleted("gone", "a"))
    mount(pod, t, "mount --bind gone gone")
    try:
        equal(t.apply(diff), (1, "", "arl: gone: Device or resource busy\n"))
    finally:
        mount(pod, t, "umount gone")
    equal((sorted(os.walk(t.root)), t.get("stays"), t.get("d/f")), (before, "a\n", "a\n"))
    equal([(n, os.stat(t.path(n)).st_ino, os.stat(t.path(n)).st_mode, os.stat(t.path(n)).st_uid) for n in ("x", "d")], kept[:2])
    equal(t.apply(diff)[0::2], (0, ""))
    equal(t.names(), ["d", "n/o/p", "stays", "x/y/z"])


@case
def folders_that_were_made_go_with_what_failed(pod):
    t = Tree(pod, "madefolders", f="a\n")
    long = "n/o/p/" + "x" * 300
    equal(t.apply(made("m/f", "n") + made("n/o/f", "n") + made(long, "n")), (1, "", f"arl: {long}: File name too long\n"))
    equal(os.listdir(t.root), ["f"])
    equal(t.write(long, "text")[:2], (1, ""))
    equal(os.listdir(t.root), ["f"])


@case
def a_large_file_is_moved_and_gets_its_mode(pod):
    """The file is too large to be patched as a text, but it can be renamed and copied, and its mode can be changed."""
    large, other = b"x\n" * (5 << 20), b"y\n" * (5 << 20)
    copied = renamed("f", "d/c").replace("rename", "copy")
    mode = "diff --git a/f b/f\nold mode 100644\nnew mode 100755\n"
    rows = [
        (mode, {"f": (large, 0o755), "g": (other, 0o640)}),
        (renamed("f", "f/x"), {"f/x": (large, 0o644), "g": (other, 0o640)}),
        (renamed("f", "g") + renamed("g", "f"), {"f": (other, 0o640), "g": (large, 0o644)}),
        (mode + copied, {"f": (large, 0o755), "d/c": (large, 0o644), "g": (other, 0o640)}),
        (renamed("g", "h").replace("similarity", "old mode 100644\nnew mode 100755\nsimilarity"), {"f": (large, 0o644), "h": (other, 0o750)}),
    ]
    for number, (diff, want) in enumerate(rows):
        t = Tree(pod, f"large{number}", f=large)
        t.put("g", other, 0o640)
        equal(t.apply(diff)[0::2], (0, ""))
        equal([(n, t.mode(n)) for n in t.names()], [(n, m) for n, (_, m) in sorted(want.items())])
        equal([n for n, (data, _) in want.items() if t.get(n).encode() != data], [])
        shutil.rmtree(t.root)
    t = Tree(pod, "largekept", f=large, gone="a\n")
    too_large = "a file larger than 8388608 bytes can not be patched"
    edit = "@@ -1 +1 @@\n-x\n+z\n"
    for diff, why in [(names("f") + edit, f"f: {too_large}"), (renamed("f", "g") + names("f", "g") + edit, f"g: {too_large}"),
                      ("diff --git a/f b/f\ndeleted file mode 100644\n", "f: the patch deletes the file, and does not remove all of its lines"),
                      (renamed("f", "g") + made("g/x", "n"), "g: it is a file in the patch, and a folder of g/x as well")]:
        equal(t.apply(diff), (1, "", f"arl: {why}\n"))
    equal((t.names(), t.mode("f"), t.get("f").encode() == large, t.mode("gone")), (["f", "gone"], 0o644, True, 0o644))


@case
def a_mode_alone_leaves_the_text_where_it_is(pod):
    """A change of the mode alone: a file with several names keeps them, and the old mode comes back if another part fails."""
    t = Tree(pod, "modealone", f="a\n", gone="a\n")
    os.link(t.path("f"), t.path("g"))
    mode = "diff --git a/f b/f\nold mode 100644\nnew mode 100755\n"
    mount(pod, t, "mount --bind gone gone")
    try:
        equal(t.apply(mode + deleted("gone", "a")), (1, "", "arl: gone: Device or resource busy\n"))
    finally:
        mount(pod, t, "umount gone")
    equal(t.mode("f"), 0o644)
    before = os.stat(t.path("f"))
    equal(t.apply(mode), (0, "File patched: f\n", ""))
    after = os.stat(t.path("g"))
    equal((t.mode("f"), after.st_ino, after.st_mtime_ns), (0o755, before.st_ino, before.st_mtime_ns))


@case
def what_cannot_be_applied_is_refused_by_name(pod):
    t = Tree(pod, "refused", f="a\n")
    rows = [
        ("diff --git a/l b/l\nnew file mode 120000\nindex 0..1\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+f\n\\ No newline at end of file\n",
         "l is a symbolic link in the patch (line 2): make links with a Command step"),
        ("diff --git a/s b/s\nindex 1..2 160000\n" + names("s") + HUNK, "s is a submodule in the patch (line 2), which can not be applied"),
        ("diff --git a/f b/f\nindex 1..2 100644\nGIT binary patch\nliteral 1\nIcmZ\n\n",
         "f is a binary file in the patch (line 3), which can not be applied: write it with content and encoding base64"),
        ("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n", "f: the file exists already, and the patch makes it"),
        ("--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n", 'f: hunk 1 does not fit: expected "x" at line 1, found "a"'),
        (names("nosuch") + HUNK, "nosuch: No such file or directory"),
        (names("../f") + HUNK, f"../f: {RELATIVE}"),
        (names("./f") + HUNK, f"./f: {RELATIVE}"),
        ("--- a//etc/passwd\n+++ b//etc/passwd\n" + HUNK, f"/etc/passwd: {RELATIVE}"),
        (HUNK, "the patch does not name its file, and the step has no path"),
        ("```diff\n" + names("f") + HUNK + "```\n", "line 1 of the patch is a Markdown fence (```): leave the fences out"),
        (names("f") + "@@ -1,5 +1,5 @@\n-a\n+b\n c\n", "hunk 1 says 5 old lines and has 2 (line 7 of the patch)"),
    ]
    for diff, why in rows:
        equal(t.apply(diff), (1, "", f"arl: {why}\n"))
        equal((t.names(), t.get("f")), (["f"], "a\n"))


@case
def nothing_that_a_patch_tells_of_is_left_out(pod):
    """arl refuses changes that git would skip without a word, also patches that a model has not written to the end."""
    t = Tree(pod, "leftout", f="a\n", r="a\n")
    git = "diff --git a/{0} b/{1}\n".format
    f = names("f") + HUNK
    binary = "tells of a binary file without its content"
    rows = [
        ("Binary files a/x.png and b/x.png differ\n" + f, f"line 1 of the patch {binary}"),
        ("diff -r 1 x.png\nBinary file x.png has changed\n" + f, f"line 2 of the patch {binary}"),
        ("Index: x.png\n===\nCannot display: file marked as a binary type.\n" + f, f"line 3 of the patch {binary}"),
        ("Submodule vendor/lib 123..456:\n  > x\n" + f, "line 1 of the patch tells of a submodule, which can not be applied"),
        ("* Unmerged path g\n" + f, "line 1 of the patch tells of a file that is not merged"),
        ("Only in new: g\n" + f, "line 1 of the patch tells of a file without its text"),
        ("*** Begin Patch\n*** End Patch\n" + f,
         'line 1 of the patch is of another format (a context diff, or "*** Begin Patch"): only unified diffs can be applied'),
        ("new file mode 100755\n--- /dev/null\n+++ b/s\n@@ -0,0 +1 @@\n+x\n",
         'line 1 of the patch belongs to a line "diff --git", which is missing'),
        (git("r", "q") + "similarity index 90%\nrename from r\nrename to q\n--- a/r\n+++ b/q\n",
         "the patch ends where a hunk, of which the head of the file tells is expected"),
        (git("g", "g") + "new file mode 100644\nindex 0000000..1234567\n", "the patch ends where a hunk, of which the head of the file tells is expected"),
        (git("f", "r") + names("f", "r") + HUNK, 'line 3 of the patch: f becomes r, and no line "rename from" or "copy from" says so'),
        (git("r", "q") + "rename from r\nrename to q\n" + names("f", "q") + HUNK,
         'line 5 of the patch: the names differ from those of the lines "from" and "to"'),
        (names("f") + "@@ -0,0 +1 @@\n+x\n", "f: the patch is for an empty file, and the file has 1 lines"),
    ]
    for diff, why in rows:
        equal(t.apply(diff), (1, "", f"arl: {why}\n"))
        equal((t.names(), t.get("f"), t.get("r")), (["f", "r"], "a\n", "a\n"))


@case
def text_around_a_patch(pod):
    """Text that only looks like a part of a patch, mail signatures without their blank, blank lines at the end, a byte order mark."""
    mail = "From 0 Mon Sep 17 00:00:00 2001\nSubject: [PATCH] x\n\n{}\n---\n f | 2 +-\n\n".format
    f = "diff --git a/f b/f\n" + names("f") + HUNK
    t = Tree(pod, "around")
    for diff in (mail("Run:\n\n```\nmake\n```") + f + "-- \n2.39.5\n", mail("Only in debug builds: we\nneed it.") + f + "--\n2.39.5\n\n",
                 f + " \n", f + "\n    \n", "\ufeff" + f, "--- f\n+++ f.new\n" + HUNK, "--- f.orig\n+++ f\n" + HUNK, "--- a//f\n+++ b//f\n" + HUNK):
        t.put("f", "a\n")
        if "//" in diff:
            equal(t.apply(diff), (1, "", f"arl: /f: {RELATIVE}\n"))
            continue
        equal(t.apply(diff), (0, "File patched: f\n", ""))
        equal(t.get("f"), "b\n")
    t.put("d/f", "a\nb\n")
    equal(t.apply(names("d//f") + HUNK + names("d/f") + "@@ -2 +2 @@\n-b\n+c\n"), (0, "File patched: d/f\nFile patched: d/f\n", ""))
    equal(t.get("d/f"), "b\nc\n")


@case
def a_series_of_commits_as_git_shows_it(pod):
    """Two commits change the same lines, and one of them makes a file: arl applies them in their order, as git does."""
    repo = Tree(pod, "seriesrepo", f="a\n1\n2\n3\n4\n5\n6\n7\nz\n")
    corpus.git(repo.root, "init", "-q")
    for text in ("a", "b", "c"):
        repo.put("f", f"{text}\n1\n2\n3\n4\n5\n6\n7\nz\n")
        if text == "c":
            repo.put("n", "n\n")
        corpus.git(repo.root, "add", "-A")
        corpus.git(repo.root, "commit", "-qm", f"to {text}\n\ncommit 0123456789 is a line of a message")
    log = ["log", "-p", "--reverse", "-2"]
    for number, command in enumerate((log, [*log, "--oneline"], [*log, "--stat"], [*log, "--patch-with-raw"], [*log, "--format="],
                                      ["format-patch", "--stdout", "-2"], ["format-patch", "--stdout", "--cover-letter", "-2"],
                                      ["format-patch", "--stdout", "--attach", "-2"], ["show", "HEAD~1", "HEAD"])):
        diff = corpus.git(repo.root, *command).stdout.decode()
        t, theirs = Tree(pod, f"series{number}", f="a\n1\n2\n3\n4\n5\n6\n7\nz\n"), Tree(pod, f"seriesgit{number}", f="a\n1\n2\n3\n4\n5\n6\n7\nz\n")
        pod_patch = os.path.join(pod.work, f"series{number}.patch")
        with open(pod_patch, "w", encoding="utf-8") as f:
            f.write(diff)
        corpus.git(theirs.root, "apply", pod_patch)
        equal(t.apply(diff), (0, "File patched: f\nFile patched: f\nFile created: n\n", ""))
        equal((t.get("f"), corpus.tree(t.root)), ("c\n1\n2\n3\n4\n5\n6\n7\nz\n", corpus.tree(theirs.root)))


@case
def text_between_files(pod):
    """arl skips text between files, as git does. But it refuses lines that may belong to a hunk, which git skips as well."""
    first, second = "diff --git a/f b/f\n" + names("f") + HUNK, names("g") + HUNK
    for number, text in enumerate(("And now g.\n", "\nThe other file:\n\n- a point\n- `code`\n  more of it\n\n---\n\n", "\n\tindented\n", "1. one\n> two\n",
                                   "From now on\n", "-- \n2.39.5\n\n+1 from me\n")):
        ours, theirs = (Tree(pod, f"text{who}{number}", f="a\n", g="a\n") for who in ("ours", "theirs"))
        diff = f"Dear all,\n\n{first}{text}{second}{text}"
        pod_patch = os.path.join(pod.work, f"text{number}.patch")
        with open(pod_patch, "w", encoding="utf-8") as f:
            f.write(diff)
        corpus.git(theirs.root, "apply", pod_patch)
        equal(ours.apply(diff), (0, "File patched: f\nFile patched: g\n", ""))
        equal((corpus.tree(ours.root), ours.get("g")), (corpus.tree(theirs.root), "b\n"))
    t = Tree(pod, "textrefused", f="a\n", g="a\n")
    for line in ("+c", "-c", "@@ def f():", "  @@ -1 +1 @@", "\\ No newline at end of file", "--- a/h"):
        equal(t.apply(f"{first}\nWords.\n{line}\n{second}"),
              (1, "", f'arl: line 9 of the patch: expected the next file, the next hunk or the end, found "{line}"\n'))
    equal(t.apply(f"{first}\nWords.\n{HUNK}{second}"), (1, "", "arl: line 9 of the patch: a hunk without the names of its file\n"))
    equal((t.names(), t.get("f"), t.get("g")), (["f", "g"], "a\n", "a\n"))


@case
def what_other_programs_put_between_files(pod):
    bar = "=" * 67
    cvs = f"Index: {{0}}\n{bar}\nRCS file: /cvs/{{0}},v\nretrieving revision 1.1\nretrieving revision 1.2\ndiff -u -r1.1 -r1.2\n--- {{0}}\t1.1\n+++ {{0}}\t1.2\n{HUNK}".format
    svn = f"Index: {{0}}\n{bar}\n--- {{0}}\t(revision 1)\n+++ {{0}}\t(working copy)\n{HUNK}".format
    hg = f"# HG changeset patch\n# User a\n\nwhy\n\ndiff -r 1 -r 2 {{0}}\n--- a/{{0}}\n+++ b/{{0}}\n{HUNK}".format
    hg_log = f"changeset:   1:9117c6561b0b\nsummary: x\n\ndiff -r 1 -r 2 {{0}}\n--- a/{{0}}\n+++ b/{{0}}\n{HUNK}\n".format
    svn_git = f"Index: {{0}}\n{bar}\ndiff --git a/{{0}} b/{{0}}\n--- a/{{0}}\t(revision 1)\n+++ b/{{0}}\t(working copy)\n{HUNK}".format
    for number, form in enumerate((cvs, svn, hg, hg_log, svn_git, lambda n: "cvs diff: Diffing .\n" + cvs(n))):
        t = Tree(pod, f"between{number}", f="a\n", g="a\n")
        equal(t.apply(form("f") + form("g")), (0, "File patched: f\nFile patched: g\n", ""))
        equal((t.get("f"), t.get("g")), ("b\n", "b\n"))
    t = Tree(pod, "betweenrefused", f="a\n", g="a\n")
    prop = "\nProperty changes on: f\n____\nAdded: svn:executable\n## -0,0 +1 ##\n+*\n\\ No newline at end of property\n"
    properties = "tells of properties of svn, which can not be applied: leave them out"
    empty = "names a file, and nothing of it follows: if it is new and empty, make it with content"
    merge = "begins a combined diff of a merge, which can not be applied"
    rows = [
        (svn("f") + prop + svn("g"), 9, properties),
        (svn("g") + svn("f").replace(HUNK, prop), 13, properties),
        (f"Index: e\n{bar}\n" + svn("f"), 1, empty),
        (svn("f") + f"Index: e\n{bar}\n\n", 8, empty),
        ("diff -ruN old/e new/e\ndiff -ruN old/f new/f\n" + names("f") + HUNK, 1, empty),
        (names("f") + HUNK + "diff -ruN old/e new/e\n", 6, empty),
        ("diff --cc f\nindex 1,2..3\nmode 100644,100644..100755\n" + names("f") + HUNK, 1, merge),
        (names("f") + HUNK + "diff --cc g\n--- a/g\n+++ b/g\n@@@ -1,1 -1,1 +1,1 @@@\n--a\n++b\n", 6, merge),
    ]
    for diff, line, why in rows:
        equal(t.apply(diff), (1, "", f"arl: line {line} of the patch {why}\n"))
        equal((t.names(), t.get("f"), t.get("g")), (["f", "g"], "a\n", "a\n"))


@case
def dates_of_diff_N(pod):
    """diff -N writes the beginning of 1970 as the date of a file that does not exist. Blanks may stand in place of the tab."""
    t = Tree(pod, "dates")
    for epoch in ("1970-01-01 00:00:00.000000000 +0000", "1969-12-31 19:00:00.000000000 -0500", "1970-01-01 01:00:00 +0100"):
        for sep in ("\t", "  "):
            then = f"{sep}2024-01-01 10:00:00.123456789 +0100\n"
            equal(t.apply(f"--- old/n{sep}{epoch}\n+++ new/n{then}@@ -0,0 +1 @@\n+x\n"), (0, "File created: n\n", ""))
            equal(t.apply(f"--- old/n{then}+++ new/n{then}@@ -1 +1 @@\n-x\n+y\n"), (0, "File patched: n\n", ""))
            equal(t.apply(f"--- old/n{then}+++ new/n{sep}{epoch}\n@@ -1 +0,0 @@\n-y\n"), (0, "File deleted: n\n", ""))
            equal(t.names(), [])
    equal(t.apply("--- a/n\n+++ b/n\n@@ -0,0 +1 @@\n+x\n"), (0, "File created: n\n", ""))
    equal(t.apply("--- a/n\t1970-01-01 00:00:01 +0000\n+++ /dev/null \n@@ -1 +0,0 @@\n-x\n"), (0, "File deleted: n\n", ""))


@case
def one_file_by_two_names(pod):
    t = Tree(pod, "aliases")
    t.put("AGENTS.md", "a\nx\n")
    t.put("d/f", "a\nx\n")
    t.put("h", "a\nx\n")
    os.symlink("AGENTS.md", t.path("CLAUDE.md"))
    os.symlink("d", t.path("e"))
    os.link(t.path("h"), t.path("i"))
    two = "@@ -2 +2 @@\n-x\n+y\n"
    for one, other in (("AGENTS.md", "CLAUDE.md"), ("d/f", "e/f"), ("h", "i"), ("d/new", "e/new")):
        diff = names(one) + HUNK + names(other) + two
        if one == "d/new":
            diff = "".join(f"--- /dev/null\n+++ b/{n}\n@@ -0,0 +1 @@\n+x\n" for n in (one, other))
        equal(t.apply(diff), (1, "", f"arl: {other}: it is the same file as {one}, by a link: name it once\n"))
    by_link = "a symbolic link leads there: what is deleted or renamed has to be named itself"
    for diff in ("--- a/CLAUDE.md\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-x\n",
                 "diff --git a/CLAUDE.md b/C\nsimilarity index 100%\nrename from CLAUDE.md\nrename to C\n"):
        equal(t.apply(diff), (1, "", f"arl: CLAUDE.md: {by_link}\n"))
    equal(t.apply(names("CLAUDE.md") + HUNK), (0, "File patched: CLAUDE.md\n", ""))
    equal((t.get("AGENTS.md"), os.readlink(t.path("CLAUDE.md"))), ("b\nx\n", "AGENTS.md"))


@case
def a_file_in_two_parts_of_a_patch(pod):
    """A patch names a file twice, as a series of mails does: each part keeps what another part has done."""
    t = Tree(pod, "series", f="a\n")
    rename = "diff --git a/f b/g\nsimilarity index 100%\nrename from f\nrename to g\n"
    equal(t.apply("diff --git a/f b/f\nold mode 100644\nnew mode 100755\n" + names("f") + HUNK + rename)[0], 0)
    equal((t.names(), t.get("g"), t.mode("g")), (["g"], "b\n", 0o755))
    make = "diff --git a/g b/g\nnew file mode 100644\n--- /dev/null\n+++ b/g\n@@ -0,0 +1 @@\n+x\n"
    drop = "diff --git a/g b/g\ndeleted file mode 100755\n--- a/g\n+++ /dev/null\n@@ -1 +0,0 @@\n-{}\n".format
    equal(t.apply(make + drop("x")), (1, "", 'arl: g: hunk 1 does not fit: expected "x" at line 1, found "b"\n'))
    equal(t.apply(make + drop("b"))[0], 0)
    equal((t.names(), t.get("g")), (["g"], "x\n"))
    copy = "diff --git a/g b/h\nsimilarity index 100%\ncopy from g\ncopy to h\n"
    equal(t.apply("diff --git a/g b/g\nold mode 100644\nnew mode 100755\n" + copy)[0], 0)
    equal((t.mode("g"), t.get("h"), t.mode("h")), (0o755, "x\n", 0o644))    # the copy has the old mode, as with git


@case
def what_differs_is_said(pod):
    t = Tree(pod, "differs", crlf="a\r\nb\r\n", bom=b"\xef\xbb\xbfa\n", none="a")
    expected = 'hunk 1 does not fit: expected "a" at line 1, found '
    rows = [("crlf", '"a\\r": they differ only in line ends, the file has CRLF and the patch LF'),
            ("bom", '"\ufeffa": the file begins with a byte order mark, which the patch does not have'),
            ("none", '"a": they differ only in the newline, which the file does not have')]
    for name, why in rows:
        equal(t.apply(HUNK, path=name), (1, "", f"arl: {name}: {expected}{why}\n"))


@case
def a_hunk_fits_elsewhere_and_stdout_says_so(pod):
    t = Tree(pod, "elsewhere", f="0\nx\na\ny\n")
    equal(t.apply("@@ -1,3 +1,3 @@\n x\n-a\n+b\n y\n", path="f"), (0, "hunk 1 fits at line 2, not at line 1\nFile patched: f\n", ""))
    equal(t.get("f"), "0\nx\nb\ny\n")
    equal(t.apply("@@ -2,3 +2,3 @@\n X\n-b\n+c\n y\n", path="f")[0], 1)
    equal(t.apply("@@ -2,3 +2,3 @@\n X\n-b\n+c\n y\n", path="f", fuzz=1)[0], 0)
    equal(t.get("f"), "0\nx\nc\ny\n")


@case
def with_a_path_the_patch_is_for_that_file(pod):
    t = Tree(pod, "path", f="a\n")
    equal(t.apply(names("other/name") + HUNK, path="f"), (0, "File patched: f\n", ""))
    equal(t.apply(names("x") + HUNK + names("y") + HUNK, path="f"),
          (1, "", "arl: f: the patch is for 2 files: leave path out, and it names its files itself\n"))
    equal(t.apply("diff --git a/f b/g\nsimilarity index 100%\nrename from f\nrename to g\n", path="f"),
          (1, "", "arl: f: the patch renames f to g: leave path out, and it names its files itself\n"))
    equal(t.apply("--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-b\n", path="f")[0], 0)
    equal(t.names(), [])


@case
def base64_for_patches_that_are_not_utf_8(pod):
    t = Tree(pod, "latin", f="x\n".encode())
    t.put("f", "\u00e4\n".encode("latin-1"))
    diff = names("f").encode() + b"@@ -1 +1 @@\n-\xe4\n+\xf6\n"
    equal(t.apply(base64.b64encode(diff).decode(), encoding="base64")[0], 0)
    with open(t.path("f"), "rb") as f:
        equal(f.read(), b"\xf6\n")


@case
def content_without_a_path(pod):
    r = pod.run([{"name": "p", "type": "FilePatch", "content": "x"}])
    equal((r.code, r.err), (1, b"FilePatch step requires 'path' field\n"))


# ---- files that cannot or must not be replaced by a rename

@case
def a_mode_stays(pod):
    t = Tree(pod, "stays")
    t.put("run.sh", "old", 0o755)
    equal(t.write("run.sh", "new")[0], 0)
    equal((t.get("run.sh"), t.mode("run.sh")), ("new", 0o755))
    equal(t.write("run.sh", "newer", mode="0600")[0], 0)
    equal(t.mode("run.sh"), 0o600)


@case
def a_file_with_several_links_is_written_in_place(pod):
    t = Tree(pod, "links", f="old and long")
    os.link(t.path("f"), t.path("g"))
    equal(t.write("f", "new")[0], 0)
    equal((t.get("f"), t.get("g")), ("new", "new"))
    equal(t.apply("@@ -1 +1 @@\n-new\n\\ No newline at end of file\n+newer\n", path="g")[0], 0)
    equal(t.get("f"), "newer\n")


@case
def owner_attributes_and_acls_stay(pod):
    t = Tree(pod, "owner", f="old", g="old")
    os.chown(t.path("f"), 1234, 2345)
    os.setxattr(t.path("g"), "user.colour", b"blue")
    equal((t.write("f", "new")[0], t.write("g", "new")[0]), (0, 0))
    st = os.stat(t.path("f"))
    equal((t.get("f"), st.st_uid, st.st_gid), ("new", 1234, 2345))
    equal((t.get("g"), os.getxattr(t.path("g"), "user.colour")), ("new", b"blue"))


@case
def a_file_that_is_a_mount_is_written_in_place(pod):
    """/etc/hosts and /etc/resolv.conf of a container are such files."""
    t = Tree(pod, "mount", source="old and long\n", target="")

    def sh(script):
        r = pod.run([{"name": "s", "type": "Command", "command": ["sh", "-c", script], "workDir": t.root}])
        equal((r.code, r.err), (0, b""))
        return r.out

    sh("mount --bind source target")    # in the container's own namespace of mounts
    try:
        equal(t.write("target", "new\n")[0], 0)
        equal(sh("cat source target"), b"new\nnew\n")
        equal(t.apply("@@ -1 +1 @@\n-new\n+newer\n", path="target")[0], 0)
        equal(sh("cat source"), b"newer\n")
        equal(sorted(os.listdir(t.root)), ["source", "target"])
    finally:
        sh("umount target")
