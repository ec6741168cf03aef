"""Circles of files: those that call one another, so that none can be read, tested or used without the others.

A file here is NAME.c with NAME.h. It needs another one if it names a function or a variable that the other one
defines and that is not static. Headers that include one another are not looked at: compilers find those.
"""
import glob
import os
import re
from collections import defaultdict

from source import function_bodies, read, strip_code

# Circles that are allowed, each with the reason: units that are too long for one file.
ALLOWED = {
    ("common/io/http_exchange", "common/io/http_server", "common/io/http_stream"):
        "one HTTP server: its connections, an exchange, a stream; http_server_internal.h is theirs",
    ("operator/auth/config", "operator/auth/config_file"):
        "config_file.c is the inner part of config.c that reads files",
    ("operator/core/world", "operator/core/world_lines", "operator/core/world_pods", "operator/core/world_promised",
     "operator/core/world_runs"):
        "one world, and its indexes: a change of one is a change of the others",
    ("sidecar/attempt/attempt", "sidecar/attempt/attempt_follow", "sidecar/attempt/attempt_table"):
        "a table and its entries; attempt.h is theirs",
    ("sidecar/runner/link", "sidecar/runner/runner", "sidecar/runner/steps"):
        "one loop; runner.h is theirs",
}
VARIABLE = re.compile(r"^(?!static\b|typedef\b|extern\b)[A-Za-z][\w \t*]*?\b(\w+)(?:\[[^\]]*\])*\s*=[^=]", re.M)


def needs(root):
    """Returns {file: {other file: the names of the other file that this file uses}}."""
    names = (os.path.relpath(f, root) for top in ("common", "operator", "sidecar") for f in glob.glob(f"{root}/{top}/**/*.c", recursive=True))
    code = {name[:-2]: strip_code(read(root, name)) for name in names}
    home, own = {}, defaultdict(set)
    for name, text in code.items():
        lines = text.splitlines()
        for function, first, _ in function_bodies(text):
            own[name].add(function)
            if not lines[first - 1].startswith("static"):
                home[function] = name
        home.update((m[1], name) for m in VARIABLE.finditer(text))
    edges = {name: defaultdict(set) for name in code}
    for name, text in code.items():
        for word in set(re.findall(r"(?<![\w.>])[a-z]\w+", text)) - own[name]:
            if home.get(word, name) != name:
                edges[name][home[word]].add(word)
    return edges


def reachable(edges, start):
    seen, todo = set(), [start]
    while todo:
        new = set(edges[todo.pop()]) - seen
        seen |= new
        todo += new
    return seen


def circles(root):
    """Yields for each circle its files, and a text "A uses x, y of B" for each arrow in it."""
    edges = needs(root)
    beyond = {name: reachable(edges, name) for name in edges}
    found = {tuple(sorted(b for b in beyond[a] if a in beyond[b])) for a in edges} - {()}
    for circle in sorted(found):
        yield circle, [f"{a} uses {', '.join(sorted(edges[a][b])[:5])} of {b}" for a in circle for b in circle if b in edges[a]]
