"""What is told about a step's end: exit code, stderr, and the message of the task's condition.

Each row is a case. It runs twice: on the suite's own sidecar and runner, without a cluster, and as a Task of a sandbox on the cluster.
`pod` in a case is either of the two: it has run(steps), see on_cluster.py.
"""
import base64

CASES = []
WELL = "every step exited with 0"
LABEL = 'step "it": '     # some sentences begin with this in stderr; the condition names the step in another way
TRY_SH = "chmod +x, or name its interpreter, as in sh FILE"


def command(*argv, name="step", **more):
    return {"name": name, "type": "Command", "command": list(argv), **more}


def sh(text, name="step", **more):
    return command("sh", "-c", text, name=name, **more)


def patch(path, content, name="write", **more):
    return {"name": name, "type": "FilePatch", "path": path, "content": content, **more}


def equal(got, want):
    if got != want:
        raise AssertionError(f"got  {got!r}\nwant {want!r}")


def add(name, function):
    function.__name__ = name
    CASES.append(function)


def script(name, text, mode="0755"):
    """A step that writes a file below the row's own folder."""
    data = text if isinstance(text, bytes) else text.encode()
    return {"name": "write", "type": "FilePatch", "path": name, "content": base64.b64encode(data).decode(), "encoding": "base64", "mode": mode}


def told(steps, exits):
    """The condition's message that the operator makes of these exits: as failed_step_text() in operator/api/task_result.c does it."""
    failed = [i for i, e in sorted(exits.items()) if e["code"] != 0]
    if not failed:
        return WELL
    i = failed[0]
    said = exits[i].get("error") or ""
    said = said.removeprefix(f'step "{steps[i]["name"]}"').removeprefix(":").removeprefix(" was").strip()
    name = f' "{steps[i]["name"]}"' if steps[i]["name"] else ""
    return f"step{name} ({i + 1} of {len(steps)}): exit code {exits[i]['code']}{': ' if said else ''}{said}"


def ends(pod, steps, code, message, stderr):
    """Runs the steps, and checks exit code, stderr and the condition's message."""
    r = pod.run(steps)
    message_is = r.message if hasattr(r, "message") else told(steps, r.exits)
    equal((r.code, r.err.decode(), message_is), (code, stderr, message))
    return r


def row(name, steps, code, message, stderr=None):
    """Adds a case. message: the condition's. stderr: the task's; None: "arl: " and the last sentence of the message."""
    if stderr is None:
        stderr = "arl: " + message.split(f"exit code {code}: ", 1)[1] + "\n"
    add(name, lambda pod: ends(pod, steps, code, message, stderr))


def cannot(name, data, code, why, mode="0755"):
    """Adds a case: a step runs a file that exists but cannot be executed."""
    row(name, [script(name, data, mode), command(f"./{name}", name="run")], code,
        f'step "run" (2 of 2): exit code {code}: ./{name}: cannot execute: {why}')


def refused(name, step, why, code=1, before=()):
    """Adds a case: arl refuses a step with this sentence."""
    n = len(before) + 1
    row(name, [*before, {**step, "name": "it"}], code, f'step "it" ({n} of {n}): exit code {code}: {why.removeprefix(LABEL)}', f"arl: {why}\n")


# ---- exit codes, and which step it was
row("the_step_is_named", [sh("true", name="build"), sh("echo oops >&2; exit 42", name="test"), sh("true", name="never")], 42,
    'step "test" (2 of 3): exit code 42', "oops\n")
row("a_step_without_a_name_is_numbered", [sh("true", name=""), sh("exit 3", name="")], 3, "step (2 of 2): exit code 3", "")
row("the_first_that_failed_is_named", [sh("exit 4", name="a", onError="Continue"), sh("exit 5", name="b", onError="Continue"), sh("true")], 4,
    'step "a" (1 of 3): exit code 4', "")
row("a_command_that_does_not_exist", [sh("true"), command("nosuch", "--help", name="run"), sh("true")], 127,
    'step "run" (2 of 3): exit code 127: nosuch: command not found')
row("a_path_that_does_not_exist", [command("/no/such", name="run")], 127, 'step "run" (1 of 1): exit code 127: /no/such: No such file or directory')
row("killed_by_a_signal", [sh("kill -9 $$", name="run")], 137, 'step "run" (1 of 1): exit code 137: killed by signal 9 (SIGKILL)',
    'arl: step "run" was killed by signal 9 (SIGKILL)\n')
row("ended_by_a_signal", [sh("kill -TERM $$", name="run")], 143, 'step "run" (1 of 1): exit code 143: killed by signal 15 (SIGTERM)',
    'arl: step "run" was killed by signal 15 (SIGTERM)\n')

# ---- files that exist but cannot be executed
cannot("windows_line_ends", "#!/bin/sh\r\necho hi\r\n", 127,
       'its first line ends in a carriage return (CR), which makes the interpreter "/bin/sh\\r": save the file with LF line ends')
cannot("an_interpreter_that_is_missing", "#!/opt/no/such\n", 127, "its interpreter /opt/no/such does not exist")
cannot("an_interpreter_with_arguments", "#! /opt/no/such -u\n", 127, "its interpreter /opt/no/such does not exist")
cannot("an_interpreter_that_is_a_folder", "#!/bin\n", 126, "its interpreter /bin: it is a directory")
cannot("an_interpreter_that_is_no_program", "#!/etc/passwd\n", 126,
       f"its interpreter /etc/passwd: Permission denied: it has no execute bit (mode 0644): {TRY_SH}")
cannot("no_execute_bit", "#!/bin/sh\n", 126, f"Permission denied: it has no execute bit (mode 0644): {TRY_SH}", mode="0644")
cannot("another_machine", b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xb7\x00" + bytes(300), 126,
       "it is a program for aarch64, and this machine is x86_64")
cannot("an_empty_program", "", 126, "it is empty")
cannot("a_byte_order_mark", b"\xef\xbb\xbf#!/bin/sh\n", 126, "a byte order mark (BOM) stands in front of its #!: save it without")
cannot("no_first_line", "echo hi\n", 126,
       "it is no program, and has no #! line: begin it with one, or name its interpreter, as in sh FILE")
row("a_link_to_nowhere", [sh("ln -sf /opt/no/such dangling"), command("./dangling", name="run")], 127,
    'step "run" (2 of 2): exit code 127: ./dangling: cannot execute: it is a symbolic link to /opt/no/such, which does not exist')
row("a_folder_as_program", [command("/bin", name="run")], 126, 'step "run" (1 of 1): exit code 126: /bin: cannot execute: it is a directory')
row("a_long_argument", [command("echo", "x" * 140000, name="run")], 126,
    'step "run" (1 of 1): exit code 126: echo: an argument is longer than 128 KiB, or all are too long together: write it into a file with a '
    "FilePatch step, or give it as stdin")

# ---- working directories and users
refused("a_folder_that_is_missing", command("true", workDir="/no/such"), "workDir /no/such: No such file or directory")
refused("a_folder_that_is_a_file", command("true", workDir="/etc/hosts"), "workDir /etc/hosts: Not a directory")
refused("stdin_from_nowhere", command("cat", stdinFile="nosuch"), "stdinFile nosuch: No such file or directory")
refused("stdin_from_a_folder", command("cat", stdinFile="/etc"), "stdinFile /etc: Is a directory")
refused("stdin_that_is_not_base64", command("cat", stdin="***", stdinEncoding="base64"), 'step "it": stdin is not base64')
refused("a_user_that_is_unknown", command("id", user="nosuch"), 'user "nosuch": there is no such name in the container\'s /etc/passwd', 126)
refused("a_group_that_is_unknown", command("id", user="0:nosuch"), 'user "0:nosuch": there is no such group in the container\'s /etc/group', 126)
refused("a_container_that_is_unknown", command("true", container="web"),
        'step "it": there is no container "web" that runs steps, known are: executor')

# ---- files
refused("a_path_upwards", patch("../x", "x"), 'step "it": path "../x" has a ".." component')
refused("a_file_over_a_folder", patch("/etc", "x"), "/etc: Is a directory")
refused("a_file_below_a_file", patch("/etc/hosts/x", "x"), "/etc/hosts/x: Not a directory")
row("a_patch_without_path_or_patch", [{"name": "it", "type": "FilePatch", "content": "x"}], 1,
    "step \"it\" (1 of 1): exit code 1: FilePatch step requires 'path' field", "FilePatch step requires 'path' field\n")


def diff(text, **more):
    return {"type": "FilePatch", "patch": text, **more}


HUNK = "@@ -1 +1 @@\n-a\n+b\n"
refused("a_patch_that_does_not_fit", diff(HUNK, path="p1"), 'p1: hunk 1 does not fit: expected "a" at line 1, found "x"', before=[patch("p1", "x\n")])
refused("a_patch_with_other_line_ends", diff(HUNK, path="p2"),
        'p2: hunk 1 does not fit: expected "a" at line 1, found "a\\r": they differ only in line ends, the file has CRLF and the patch LF',
        before=[patch("p2", "a\r\nb\r\n")])
refused("a_patch_without_the_last_newline", diff(HUNK, path="p3"),
        'p3: hunk 1 does not fit: expected "a" at line 1, found "a": they differ only in the newline, which the file does not have',
        before=[patch("p3", "a")])
refused("a_patch_of_no_file", diff("--- a/p4\n+++ b/p4\n" + HUNK), "p4: No such file or directory")
refused("a_patch_that_makes_what_is_there", diff("--- /dev/null\n+++ b/p5\n@@ -0,0 +1 @@\n+x\n"),
        "p5: the file exists already, and the patch makes it", before=[patch("p5", "x\n")])
refused("a_patch_upwards", diff("--- a/../p6\n+++ b/../p6\n" + HUNK), '../p6: names in a patch are relative, without "." and ".."')
refused("a_patch_in_a_fence", diff("```diff\n--- a/p7\n+++ b/p7\n" + HUNK + "```\n"),
        "line 1 of the patch is a Markdown fence (```): leave the fences out")
refused("a_patch_with_wrong_counts", diff("--- a/p8\n+++ b/p8\n@@ -1,5 +1,5 @@\n-a\n+b\n c\n"),
        "hunk 1 says 5 old lines and has 2 (line 7 of the patch)")
refused("a_patch_of_a_link", diff("diff --git a/l b/l\nnew file mode 120000\nindex 0..1\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+f\n"),
        "l is a symbolic link in the patch (line 2): make links with a Command step")
refused("a_patch_of_a_binary", diff("diff --git a/f b/f\nindex 1..2 100644\nGIT binary patch\nliteral 1\nIcmZ\n\n"),
        "f is a binary file in the patch (line 3), which can not be applied: write it with content and encoding base64")
refused("a_patch_of_a_submodule", diff("diff --git a/s b/s\nindex 1..2 160000\n--- a/s\n+++ b/s\n" + HUNK),
        "s is a submodule in the patch (line 2), which can not be applied")
refused("a_patch_of_an_absolute_path", diff("--- a//etc/passwd\n+++ b//etc/passwd\n" + HUNK), '/etc/passwd: names in a patch are relative, without "." and ".."')
refused("a_patch_of_two_files_and_a_path", diff("--- a/x\n+++ b/x\n" + HUNK + "--- a/y\n+++ b/y\n" + HUNK, path="p9"),
        "p9: the patch is for 2 files: leave path out, and it names its files itself", before=[patch("p9", "a\n")])
refused("a_patch_against_a_byte_order_mark", diff(HUNK, path="p10"), 'p10: hunk 1 does not fit: expected "a" at line 1, found "\ufeffa": the file '
        "begins with a byte order mark, which the patch does not have", before=[patch("p10", "\ufeffa\n")])
refused("a_patch_whose_last_file_does_not_fit", diff("--- a/p11\n+++ b/p11\n" + HUNK + "--- a/p12\n+++ b/p12\n" + HUNK),
        'p12: hunk 1 does not fit: expected "a" at line 1, found "x"', before=[patch("p11", "a\n"), patch("p12", "x\n")])
refused("a_patch_of_another_format", diff("1c1\n< a\n---\n> b\n", path="p13"), 'p13: the patch has no hunk: it is no unified diff, and begins with "1c1"')
refused("a_mode_for_a_patch_without_a_path", diff("--- a/p14\n+++ b/p14\n" + HUNK, mode="0755"),
        'step "it": mode needs path: a patch without path sets the modes of its files itself', before=[patch("p14", "a\n")])
refused("a_patch_without_a_name", diff(HUNK), "the patch does not name its file, and the step has no path")


# ---- steps that succeed, and their stdout
def says(name, steps, out):
    add(name, lambda pod: equal(ends(pod, steps, 0, WELL, "").out.decode(), out))


says("a_script_stays_executable", [script("s1", "#!/bin/sh\necho old\n"), patch("s1", "#!/bin/sh\necho new\n"), command("./s1")],
     "File created: s1\nFile created: s1\nnew\n")
says("a_hard_link_shows_the_new_text", [sh("echo old > h1; ln -f h1 h2"), patch("h1", "new\n"), sh("cat h2")], "File created: h1\nnew\n")
says("several_files_in_one_patch",
     [sh("mkdir -p m; cd m; rm -f *; echo a > f; echo a > g"),
      diff("--- a/f\n+++ b/f\n" + HUNK + "diff --git a/g b/n/g\nsimilarity index 100%\nrename from g\nrename to n/g\n", workDir="m"), sh("cd m; cat f n/g")],
     "File patched: f\nFile renamed: g to n/g\nb\na\n")
says("a_patch_of_a_mode", [sh("echo 'echo run' > m1; chmod 644 m1"), diff("diff --git a/m1 b/m1\nold mode 100644\nnew mode 100755\n"), sh("stat -c %a m1")],
     "File patched: m1\n755\n")
says("a_hunk_that_fits_elsewhere", [patch("e1", "0\nx\na\ny\n"), diff("@@ -1,3 +1,3 @@\n x\n-a\n+b\n y\n", path="e1"), sh("cat e1")],
     "File created: e1\nhunk 1 fits at line 2, not at line 1\nFile patched: e1\n0\nx\nb\ny\n")
says("a_patch_that_makes_a_script_and_an_empty_file",
     [diff("diff --git a/n1/run b/n1/run\nnew file mode 100755\nindex 0..1\n--- /dev/null\n+++ b/n1/run\n@@ -0,0 +1,2 @@\n+#!/bin/sh\n+echo ran\n"
           "diff --git a/n1/e b/n1/e\nnew file mode 100644\nindex 0000000..e69de29\n"), command("n1/run"), sh("wc -c <n1/e")],
     "File created: n1/run\nFile created: n1/e\nran\n0\n")
says("a_patch_that_deletes_a_file_and_its_folder",
     [patch("d1/x/f", "a\n"), diff("--- a/d1/x/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n"), sh("ls -d d1/x 2>/dev/null || echo gone")],
     "File created: d1/x/f\nFile deleted: d1/x/f\ngone\n")
says("a_patch_that_copies_a_file", [sh("mkdir -p c1; echo a >c1/f"),
                                    diff("diff --git a/c1/f b/c1/g\nsimilarity index 50%\ncopy from c1/f\ncopy to c1/g\n--- a/c1/f\n+++ b/c1/g\n" + HUNK),
                                    sh("cat c1/f c1/g")], "File copied: c1/f to c1/g\na\nb\n")
says("two_files_that_change_places", [sh("mkdir -p w1; cd w1; echo A >a; echo B >b"),
                                      diff("diff --git a/a b/b\nsimilarity index 100%\nrename from a\nrename to b\n"
                                           "diff --git a/b b/a\nsimilarity index 100%\nrename from b\nrename to a\n", workDir="w1"), sh("cat w1/a w1/b")],
     "File renamed: a to b\nFile renamed: b to a\nB\nA\n")
says("a_patch_with_fuzz", [patch("z1", "0\nx\na\ny\n"), diff("@@ -2,3 +2,3 @@\n X\n-a\n+b\n y\n", path="z1", fuzz=1), sh("cat z1 | tr '\\n' ' '")],
     "File created: z1\nhunk 1 fits at line 2 with fuzz 1\nFile patched: z1\n0 x b y ")
says("a_patch_that_is_not_utf_8", [sh("printf '\\344\\n' >l1"), diff(base64.b64encode(b"@@ -1 +1 @@\n-\xe4\n+\xf6\n").decode(), path="l1", encoding="base64"),
                                   sh("od -An -tx1 l1")], "File patched: l1\n f6 0a\n")
says("an_owner_stays", [sh("echo old >o1; chown 1234:2345 o1"), patch("o1", "new\n"), sh("stat -c %u:%g o1; cat o1")], "File created: o1\n1234:2345\nnew\n")
says("a_mode_that_is_given_holds", [script("g1", "x\n"), patch("g1", "y\n", mode="0600"), sh("stat -c %a g1")], "File created: g1\nFile created: g1\n600\n")
says("another_user_writes_and_runs", [sh("mkdir -p u1; chown 1000:1000 u1"), patch("u1/f", "x\n", user="1000:1000"), sh("id -u; stat -c %u u1/f", user="1000:1000")],
     "File created: u1/f\n1000\n1000\n")
says("stdin_is_read_to_its_end", [command("wc", "-c", stdin="x" * 100000)], "100000\n")
says("arguments_reach_as_they_are", [command("printf", "%s|", "a b", "", "*", "$HOME", "'q'")], "a b||*|$HOME|'q'|")
says("variables_of_a_step_win", [command("sh", "-c", "echo $A", env={"A": "step"})], "step\n")
