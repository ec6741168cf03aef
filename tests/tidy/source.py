"""How the checks of this folder read the repository: its files, and the functions in a file of C."""
import os
import re
import subprocess


def tracked(root):
    out = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"], check=True,
                         capture_output=True, text=True).stdout
    return [f for f in out.splitlines() if os.path.isfile(os.path.join(root, f))]


def read(root, name):
    with open(os.path.join(root, name), encoding="utf-8", errors="replace") as f:
        return f.read()


def is_c(name):
    return name.endswith((".c", ".h"))


def is_product_c(name):
    return is_c(name) and name.startswith(("common/", "operator/", "sidecar/"))


def strip_code(text):
    """The text with comments and string contents blanked, line numbers kept."""
    def blank(m):
        s = m.group(0)
        return re.sub(r"[^\n]", " ", s) if s.startswith("/") else '""' + " " * (len(s) - 2)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def functions(text):
    """(name, first line, length) of each function body: a brace in column one, as the style has it."""
    for name, line, body in function_bodies(text):
        yield name, line, len(body)


def function_bodies(text):
    """(name, first line, lines between the braces) of each function."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if line == "{":
            start = i
            while start > 0 and lines[start - 1].strip() and not lines[start - 1].startswith(("}", "#")) \
                    and not lines[start - 1].endswith(";"):
                start -= 1
            end = next((j for j in range(i, len(lines)) if lines[j] == "}"), len(lines) - 1)
            name = re.search(r"(\w+)\s*\(", " ".join(lines[start:i]))
            yield (name.group(1) if name else "?"), start + 1, lines[i + 1:end]
