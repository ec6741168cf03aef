"""As GitOps tools do again and again: apply, diff and replace of files that have not changed must change no object."""
import json
import re

from harness import equal


def by_name(text):
    return {f"{o['kind']} {o['metadata']['name']}": o for o in json.loads(text)["items"]}


def without_version(o):
    """The object without status, resourceVersion and managedFields: what a user can write, and generation."""
    md = {k: v for k, v in o["metadata"].items() if k not in ("resourceVersion", "managedFields")}
    return {**{k: v for k, v in o.items() if k != "status"}, "metadata": md}


def unchanged(before, after, what):
    """Checks that no object has changed. An object's resourceVersion may differ only if its status was written meanwhile."""
    equal(sorted(after), sorted(before), f"the objects after {what}")
    for name, o in before.items():
        equal(without_version(after[name]), without_version(o), f"{name} after {what}")
        if after[name].get("status") == o.get("status"):
            equal(after[name]["metadata"]["resourceVersion"], o["metadata"]["resourceVersion"], f"resourceVersion of {name} after {what}")


def no_nulls(value):
    if isinstance(value, dict):
        return {k: no_nulls(v) for k, v in value.items() if v is not None}
    return [no_nulls(v) for v in value] if isinstance(value, list) else value


def same_generation(before, after, what):
    """Checks spec and generation. A null may be dropped, since it means the same as no field. The generation of a Deployment is not
    compared: it also counts changes of annotations."""
    for name, o in before.items():
        equal(no_nulls(after[name].get("spec")), no_nulls(o.get("spec")), f"spec of {name} after {what}")
        if after[name].get("spec") == o.get("spec") and o["kind"] != "Deployment":
            equal(after[name]["metadata"].get("generation"), o["metadata"].get("generation"), f"generation of {name} after {what}")


def all_unchanged(out, what):
    """Checks that kubectl apply says "unchanged" of each object. It says "configured" of some objects, for which it always sends a patch
    that changes nothing: of each PodDisruptionBudget (its selector), and of a custom resource with a null inside of a list."""
    equal([line for line in out.splitlines() if not re.search(r" unchanged$|^poddisruptionbudget|^warmpool.arl.infra.io/brought ", line)], [],
          f"objects that {what} says to have changed")


def no_drift(run, look, replace=True):
    """Checks that applying, comparing and replacing the files again changes nothing. They were applied once, and nothing is under way.

    run(verb, flag...) calls kubectl with the files; look() gets their objects. replace=False is for Deployments: a replace removes the
    annotations of their controller, which writes them again."""
    seen = look()

    def again(what, *verb, first=False):
        nonlocal seen
        before, out = seen, run(*verb)
        seen = look()
        (same_generation if first else unchanged)(before, seen, what)
        return out
    all_unchanged(again("a second apply", "apply"), "a second apply")
    equal(run("diff"), "", "what diff tells")
    again("a first server-side apply", "apply", "--server-side", first=True)
    again("a second server-side apply", "apply", "--server-side")
    equal(run("diff", "--server-side"), "", "what diff --server-side tells")
    again("an apply after server-side ones", "apply", first=True)
    all_unchanged(again("a second one", "apply"), "a second apply after server-side ones")
    if not replace:
        return
    again("a first replace", "replace", first=True)        # it drops apply's annotation, last-applied-configuration
    again("a second replace", "replace")
    again("an apply after replace", "apply", first=True)
