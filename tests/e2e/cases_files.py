"""FilePatch: whole files, with their folders and modes."""
from harness import case, command, contains, equal, patch, sh


@case(shared=True)
def file_then_cat_then_count(t):
    content = "line one\nline two\nline three\n"
    s = t.run(t.box(), patch("/workspace/a.txt", content), command("cat", "/workspace/a.txt"), command("wc", "-l", "/workspace/a.txt"))
    equal(s["stdout"], f"File created: /workspace/a.txt\n{content}3 /workspace/a.txt\n", "stdout")
    equal([r["exitCode"] for r in s["steps"]], [0, 0, 0], "exit codes")


@case(shared=True)
def modes_and_parents(t):
    box = t.box()
    out = t.out(box, patch("/workspace/a/b/c.txt", "x"), sh("stat -c '%a %U' /workspace/a /workspace/a/b /workspace/a/b/c.txt"))
    equal(out, "File created: /workspace/a/b/c.txt\n755 root\n755 root\n644 root\n", "modes and owners")
    equal(t.out(box, sh("umask 077; true"), patch("/workspace/d/e", "")), "File created: /workspace/d/e\n", "an empty file")
    equal(t.out(box, sh("stat -c '%a %s' /workspace/d /workspace/d/e | cut -d' ' -f1; wc -c < /workspace/d/e")), "755\n644\n0\n", "its modes")


@case(shared=True)
def content_is_exact(t):
    box = t.box()
    for content in ("no newline", "\n", "tab\tquote\"back\\slash\r\n", "ä€😀\n", "$HOME `id` %s\n", "x" * 300_000 + "\nend"):
        equal(t.out(box, patch("/workspace/f", content), sh("cat /workspace/f | md5sum; wc -c < /workspace/f")),
              f"File created: /workspace/f\n{md5(content)}  -\n{len(content.encode())}\n", "digest and size")
    s = t.run(box, {"name": "none", "type": "FilePatch", "path": "/workspace/none"}, sh("wc -c < /workspace/none"))
    equal(s["stdout"], "File created: /workspace/none\n0\n", "a file without content")


def md5(text):
    import hashlib
    return hashlib.md5(text.encode()).hexdigest()


@case(shared=True)
def an_existing_file_is_replaced_as_a_whole(t):
    """A process that has the old file open still reads the old one. A file with several names is written in place, as a shell does it."""
    box = t.box()
    out = t.out(box, patch("f", "a long first content\n"), sh("tail -f f >seen & sleep 0.5"), patch("f", "new\n"), sh("kill $(pidof tail); cat seen; cat f; rm seen; ls -A"))
    equal(out, "File created: f\nFile created: f\na long first content\nnew\nf\n", "the old file, and the new one")
    out = t.out(box, sh("ln f other"), patch("f", "newer\n"), sh("cat f other"))
    equal(out, "File created: f\nnewer\nnewer\n", "a file of two names")


@case(shared=True)
def relative_absolute_and_unwritable_paths(t):
    box = t.box()
    equal(t.out(box, patch("deep/er/f", "1"), sh("cat /workspace/deep/er/f")), "File created: deep/er/f\n1", "relative: under /workspace")
    equal(t.out(box, patch("./g", "2"), sh("cat /workspace/g")), "File created: ./g\n2", "with a dot")
    equal(t.out(box, patch("/tmp/out", "3"), sh("cat /tmp/out")), "File created: /tmp/out\n3", "absolute: the container's own")
    for path, why in (("/workspace/deep", "irectory"), ("/workspace/g/below", "irectory"), ("/proc/nope", "/proc/nope")):
        s = t.run(box, patch(path, "x"))
        equal((s["state"], s["exitCode"], s.get("stdout", "")), ("Failed", 1, ""), f"state, exit code, stdout for {path}")
        contains(s["stderr"], path, why, what="stderr")
    equal(t.out(box, sh("ls -A /workspace /workspace/deep")), "/workspace:\ndeep\ng\n\n/workspace/deep:\ner\n", "nothing else is left there")


def diff(path, text, **more):
    return {"name": "patch", "type": "FilePatch", "path": path, "patch": text, **more}


@case(shared=True)
def a_patch_is_applied_as_a_whole_or_not_at_all(t):
    box = t.box()
    out = t.out(box, patch("f", "one\ntwo\nthree\n", mode="0750"), diff("f", "--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n one\n-two\n+TWO\n three\n"),
                sh("cat f; stat -c %a f"))
    equal(out, "File created: f\nFile patched: f\none\nTWO\nthree\n750\n", "the file and its mode")
    s = t.run(box, diff("f", "@@ -1 +1 @@\n-one\n+1\n@@ -3 +3 @@\n-four\n+4\n"))
    equal((s["state"], s["exitCode"], s.get("stdout", "")), ("Failed", 1, ""), "state, exit code and stdout")
    contains(s["stderr"], "f: ", "line 3", what="stderr")
    equal(t.out(box, sh("cat f")), "one\nTWO\nthree\n", "the file")


@case(shared=True)
def bytes_come_as_base64(t):
    out = t.out(t.box(), patch("b", "AP+ACg==", encoding="base64", mode="600"), sh("od -An -tx1 b; stat -c %a b"))
    equal(out, "File created: b\n 00 ff 80 0a\n600\n", "the bytes and the mode")


@case(shared=True)
def what_is_no_file_is_left_alone(t):
    box = t.box()
    t.out(box, sh("mkfifo fifo; ln -s nowhere dangling; echo old > real; ln -s real link"))
    for path, why in (("fifo", "not a regular file"), ("/dev/null", "not a regular file"), ("dangling", "No such file")):
        s = t.run(box, patch(path, "x"))
        equal((s["state"], s["exitCode"]), ("Failed", 1), f"state and exit code for {path}")
        contains(s["stderr"], path, why, what="stderr")
    out = t.out(box, patch("link", "new\n"), sh("cat real; ls -A | tr '\\n' ' '; test -p fifo && test -L dangling && test -L link"))
    equal(out, "File created: link\nnew\ndangling fifo link real ", "what is there")
