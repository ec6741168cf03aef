#!/usr/bin/env python3
"""Prints how well this house is kept: lines a function, duplicates, asserts and the like, each with its limit.

The limits stand in figures.txt beside this file. tests/tidy/run fails when a figure is worse than its limit, and names
the functions and files that made it so: those that were not there when figures.txt was changed last.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from itertools import combinations

import circles
from source import function_bodies, is_product_c, read, strip_code, tracked

ROOT = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
LIMITS = "tests/tidy/figures.txt"
NAMED = 10  # so many functions or files are named for a figure that became worse
COLUMNS = 160
SAME_LINES = 5  # so many equal lines in a row make two functions a duplicate
DOCUMENT = re.compile(r"(README|ARCHITECTURE|CONTRIBUTING|SECURITY|docs/[\w/-]+)\.md")

ASSERT = re.compile(r"(?<!\w)assert\(")
# A time that is doubled: `delay_ns *= 2`, `2 * s->retry_ms`, `s->retry_ms * 2`, `RETRY_FIRST_NS << n`.
TIME = r"(?:[\w>.-]*(?:_[mn]s|_delay|_wait|_pause)|[mn]s|delay|wait|pause)\b"
BACK_OFF = re.compile(rf"\b{TIME}\s*(?:\*=?\s*2\b|<<=?)|\b2\s*\*\s*{TIME}|\b[A-Z_]+_[MN]S\s*<<")
# The primes of FNV-1a, and the factors 31 and 33 of the other well-known hash of texts.
HASH = re.compile(r"\b(?:0x0*100000001b3|1099511628211|0x0*1000193|16777619)(?:u?l*)\b|\*\s*3[13]u?l*\b", re.I)
# A call of write(2) in a loop, with a sum or a difference that counts the bytes.
WRITE_ALL = re.compile(r"(?=.*[+-]=).*\b(?:while|for)\b.*\bp?write\(", re.S)


class Function:
    def __init__(self, file, name, line, body):
        self.file, self.name, self.line = file, name, line
        self.body = body  # its lines, without comments and texts

    def __str__(self):
        return f"{self.name}() in {self.file}:{self.line}"


class Item:
    """What a figure counts. The key is the same wherever its file is moved; the bigger the weight, the worse."""
    def __init__(self, key, text, weight=1.0):
        self.key, self.text, self.weight = key, text, weight


class Source:
    def __init__(self, root, files):
        self.root, self.files = root, files
        self.code = {f: strip_code(read(root, f)) for f in files if is_product_c(f)}
        self.functions = [Function(f, *rest) for f, text in self.code.items() for rest in function_bodies(text)]


# ---- the measures: each returns a figure and what made it ----


def share(source, part):
    """The length below which this part of all functions lies: 0.5 is the median, 1.0 the longest function."""
    lengths = sorted(len(f.body) for f in source.functions)
    value = lengths[min(int(len(lengths) * part), len(lengths) - 1)] if lengths else 0
    return value, [Item((f.name, len(f.body)), f"{f} has {len(f.body)} lines", len(f.body)) for f in source.functions]


def median(source):
    return share(source, 0.5)


def p90(source):
    return share(source, 0.9)


def longest(source):
    return share(source, 1.0)


def in_functions(source, is_one):
    found = [f for f in source.functions if is_one("\n".join(f.body))]
    return len(found), [Item(f.name, str(f)) for f in found]


def gotos(source):
    return in_functions(source, re.compile(r"\bgoto\b").search)


def back_offs(source):
    return in_functions(source, BACK_OFF.search)


def write_alls(source):
    return in_functions(source, WRITE_ALL.match)


def hashes(source):
    # By files, since the factor of a hash may stand above its function.
    found = [f for f, text in source.code.items() if HASH.search(text)]
    return len(found), [Item(os.path.basename(f), f) for f in found]


def asserts(source, pattern=""):
    """How many asserts a thousand lines have, in the files whose paths begin with this pattern."""
    items, lines, count = [], 0, 0
    for name in (f for f in source.code if re.match(pattern, f)):
        here, size = len(ASSERT.findall(source.code[name])), source.code[name].count("\n")
        lines, count = lines + size, count + here
        items.append(Item((os.path.basename(name), here, size), f"{name} has {here} asserts in {size} lines", size / (here + 1)))
    if not lines:
        raise ValueError(f"no file's path begins with {pattern}")
    return 1000 * count / lines, items


def significant(body):
    """The lines of a function that are compared: those that have a word and are not common to most functions, with single blanks."""
    squeezed = (" ".join(line.split()) for line in body)
    return [line for line in squeezed if re.search(r"\w", line) and line not in ("else", "} else {", "break;")]


def duplicates(source):
    """Pairs of functions that have so many lines in a row in common."""
    places = defaultdict(set)
    for i, function in enumerate(source.functions):
        lines = significant(function.body)
        for at in range(len(lines) - SAME_LINES + 1):
            places[tuple(lines[at:at + SAME_LINES])].add(i)
    pairs = {pair for same in places.values() for pair in combinations(sorted(same), 2)}
    both = [(source.functions[a], source.functions[b]) for a, b in sorted(pairs)]
    return len(both), [Item((a.name, b.name), f"{a} and {b} have {SAME_LINES} lines in common") for a, b in both]


def long_lines(source):
    """Lines of documents that are too long, without quoted ones."""
    items = [Item((os.path.basename(name), line), f"{name}:{no}: {len(line)} columns", len(line))
             for name in source.files if DOCUMENT.fullmatch(name)
             for no, line in enumerate(read(source.root, name).splitlines(), 1) if len(line) > COLUMNS and not line.startswith("> ")]
    return len(items), items


def in_circles(source):
    found = list(circles.circles(source.root))
    return len(found), [Item(tuple(map(os.path.basename, files)), f"{', '.join(files)}: {'; '.join(arrows)}") for files, arrows in found]


MEASURES = {"functions.median": median, "functions.p90": p90, "functions.longest": longest, "gotos": gotos, "duplicates": duplicates,
            "back-offs": back_offs, "hashes": hashes, "write-alls": write_alls, "long-lines": long_lines, "circles": in_circles, "asserts": asserts}


class Figure:
    """A line of figures.txt: NAME, <= or >=, LIMIT, and what it means. NAME may be asserts:PATTERN, of some files only."""
    def __init__(self, line):
        name, operator, limit, self.meaning = line.split(None, 3)
        kind, _, pattern = name.partition(":")
        if kind not in MEASURES or (pattern and kind != "asserts") or operator not in ("<=", ">="):
            raise ValueError(line)
        self.name, self.at_most, self.limit = name, operator == "<=", float(limit)
        self.measure = lambda source: MEASURES[kind](source, *([pattern] if pattern else []))

    def is_worse(self, value):
        # Rounded as in the output, so that a limit that is copied from there holds.
        return round(value, 1) > self.limit if self.at_most else round(value, 1) < self.limit

    def is_better(self, value):
        return round(value, 1) < self.limit if self.at_most else round(value, 1) > self.limit


def limits(root):
    with open(os.path.join(root, LIMITS), encoding="utf-8") as f:
        return [Figure(line) for line in f if line.strip() and not line.startswith("#")]


def old_source(root, folder):
    """The repository as it was at the last change of figures.txt, unpacked into this folder. None if git does not have it."""
    def git(*args):
        return subprocess.run(["git", "-C", root, *args], capture_output=True, check=True).stdout
    try:
        commit = git("log", "-1", "--format=%H", "--", LIMITS).decode().strip()
        subprocess.run(["tar", "-x", "-C", folder], input=git("archive", commit), check=True, capture_output=True)
    except subprocess.CalledProcessError:
        return None
    names = git("ls-tree", "-r", "--name-only", commit).decode().splitlines()
    return Source(folder, [f for f in names if os.path.isfile(os.path.join(folder, f))])


def culprits(figure, items, old):
    """The items that made a figure worse, the worst first: those that are new since the last change of figures.txt. All items if none is
    new, or if git does not have the old files."""
    known = set()
    if old:
        try:
            known = {item.key for item in figure.measure(old)[1]}
        except ValueError:
            pass
    new = [item for item in items if item.key not in known] or items
    if figure.name.startswith("functions."):
        new = [item for item in new if item.weight > figure.limit]
    texts = [item.text for item in sorted(new, key=lambda item: -item.weight)]
    return texts[:NAMED] + ([f"and {len(texts) - NAMED} more"] if len(texts) > NAMED else [])


def complaints(root, files):
    """Yields a line for each figure that is worse than its limit, followed by a line for each item that made it so."""
    if not os.path.isfile(os.path.join(root, LIMITS)):
        yield f"{LIMITS} is missing"
        return
    source, worse = Source(root, files), []
    try:
        figures = limits(root)
    except ValueError as e:
        yield f"{LIMITS}: no figure: {e}"
        return
    for name in MEASURES.keys() - {figure.name for figure in figures}:
        yield f"{LIMITS}: no limit of {name}"
    for figure in figures:
        try:
            value, items = figure.measure(source)
        except ValueError as e:
            yield f"{LIMITS}: {figure.name}: {e}"
            continue
        if figure.is_worse(value):
            worse.append((figure, value, items))
    if not worse:
        return
    with tempfile.TemporaryDirectory() as folder:
        old = old_source(root, folder)
        for figure, value, items in worse:
            yield f"{figure.name} is {value:.3g}, {figure.limit:.3g} is the limit ({figure.meaning.strip()}):"
            for text in culprits(figure, items, old):
                yield f"    {text}"


# ---- the test of this file ----

SHORT = "int {0}(void)\n{{\n    {0}_begin();\n    return {0}_end();\n}}\n"
TEST_LIMITS = """functions.median <= 2 .
functions.p90 <= 2 .
functions.longest <= 3 .
gotos <= 0 .
duplicates <= 0 .
back-offs <= 0 .
hashes <= 0 .
write-alls <= 0 .
long-lines <= 0 .
circles <= 0 .
asserts >= 0 .
asserts:common/ >= 100 .
"""
GOOD = {"common/good.c": "".join(SHORT.format(name) for name in ("one", "two", "three")) + "void check(void)\n{\n    assert(one());\n    assert(two());\n}\n",
        "docs/good.md": "short\n> " + "quoted " * 40 + "\n", LIMITS: TEST_LIMITS}


def function(name, *lines):
    return f"void {name}(void)\n{{\n" + "".join(f"    {line}\n" for line in lines) + "}\n"


SAME = [f"same({i});" for i in range(SAME_LINES)]
# Figure, a file that makes it worse, and the words that the complaint must have.
PLANTED = [
    ("functions.median", "common/a.c", "".join(function(f"f{i}", *[f"g{i}{j}();" for j in range(3)]) for i in range(5)), "f4() in common/a.c:25 has 3 lines"),
    ("functions.p90", "common/a.c", function("f", "g();", "h();", "i();"), "f() in common/a.c:1 has 3 lines"),
    ("functions.longest", "common/a.c", function("f", *["g();"] * 4), "f() in common/a.c:1 has 4 lines"),
    ("gotos", "sidecar/a.c", function("f", "goto out;"), "f() in sidecar/a.c:1"),
    ("duplicates", "common/a.c", function("f", *SAME) + function("g", "other();", "{", *["  " + s for s in SAME], "}"), "f() in common/a.c:1 and g() in common/a.c:"),
    ("back-offs", "operator/a.c", function("f", "x->retry_ms = MIN(2 * x->retry_ms, MAX_MS);"), "f() in operator/a.c:1"),
    ("back-offs", "operator/a.c", function("f", "delay_ns *= 2;"), "f() in operator/a.c:1"),
    ("back-offs", "operator/a.c", function("f", "return MIN(FIRST_NS << n, MAX_NS);"), "f() in operator/a.c:1"),
    ("hashes", "common/a.c", function("f", "h = (h ^ *s) * 0x100000001b3ULL;"), "common/a.c"),
    ("hashes", "common/a.c", function("f", "h = h * 31 + *s;"), "common/a.c"),
    ("write-alls", "common/a.c", function("f", "while (n > 0)", "n -= write(fd, p, n);"), "f() in common/a.c:1"),
    ("long-lines", "docs/a.md", "x" * (COLUMNS + 1) + "\n", f"docs/a.md:1: {COLUMNS + 1} columns"),
    ("circles", "common/a.c", function("one_begin", "two();"), "common/a, common/good: common/a uses two of common/good; common/good uses one_begin of common/a"),
    ("asserts:common/", "common/a.c", "int x;\n" * 40, "common/a.c has 0 asserts in 40 lines"),
    (LIMITS, LIMITS, TEST_LIMITS.replace("gotos", "gotso"), "no figure: gotso"),
    (LIMITS, LIMITS, TEST_LIMITS.replace("gotos <= 0 .\n", ""), "no limit of gotos"),
    (LIMITS, LIMITS, TEST_LIMITS + "asserts:none/ >= 1 .\n", "no file's path begins with none/"),
]


def put(root, tree):
    for name, text in tree.items():
        os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
        with open(os.path.join(root, name), "w", encoding="utf-8") as f:
            f.write(text)


def self_test():
    """Yields (passed, what was tested): a good tree has no complaints; a planted fault is found, and no other file is named."""
    with tempfile.TemporaryDirectory() as root:
        put(root, GOOD)
        for args in (["init", "-q"], ["add", "."], ["-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "good"]):
            subprocess.run(["git", "-C", root, *args], check=True, capture_output=True)
        yield not list(complaints(root, list(GOOD))), "figures.py finds nothing in a good tree"
        for name, file, text, words in PLANTED:
            put(root, {**GOOD, file: text})
            found = "\n".join(complaints(root, sorted({*GOOD, file})))
            if file not in GOOD:
                os.unlink(os.path.join(root, file))
            ok = f"{name} is " in found or found.startswith(f"{name}: ")
            yield ok and words in found and "good.c" not in found, f"figures.py finds a worse {name}: {words}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    files = tracked(ROOT)
    source = Source(ROOT, files)
    for figure in limits(ROOT):
        value = figure.measure(source)[0]
        mark = " worse" if figure.is_worse(value) else " better" if figure.is_better(value) else ""
        print(f"{figure.name:<28} {value:>6.4g} {'<=' if figure.at_most else '>='} {figure.limit:<6.4g} {figure.meaning.strip()}{mark}")
    worse = list(complaints(ROOT, files))
    print("\n".join(worse))
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
