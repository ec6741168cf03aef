"""The scenarios of units.c."""
import functools
import os
import tempfile

from tools import Fault, Finding, check_log, run_program, tail

NAMES = ("objects", "config", "proto", "patch", "http", "journal", "key")
LIMIT_S = 90
CONFIG = """apiVersion: v1
kind: Config
current-context: one
clusters:
- name: c1
  cluster: {server: "https://one:6443/", certificate-authority: ca}
users:
- name: u1
  user: {tokenFile: token}
contexts:
- name: one
  context: {cluster: c1, user: u1, namespace: ns}
"""
FILES = {"config": CONFIG, "token": "a-token\n", "ca": "-----BEGIN X-----\nYQ==\n-----END X-----\n"}
ENV = {}


def prepare(folder):
    for name, text in FILES.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text)
    ENV["TORTURE_KUBECONFIG"] = os.path.join(folder, "config")


@functools.lru_cache(maxsize=None)
def expected(build, name, program):
    status, out, err = run_program([os.path.join(build, "tests/torture", program), name], ENV, LIMIT_S)
    if status != 0 or not out:
        raise Finding(f"{name} does not work: status {status}, {tail(err)}")
    return out


def run(build, name, cls, k, keep_count=None, program="torture-units"):
    want = expected(build, name, program)
    with tempfile.TemporaryDirectory(prefix="arl-torture-") as folder:
        fault = Fault(build, folder, cls, k)
        status, out, err = run_program([os.path.join(build, "tests/torture", program), name], {**ENV, **fault.env}, LIMIT_S)
        count, hit, call = fault.read()
    if keep_count is not None:
        keep_count.append(count)
    check_log(name, err)
    if b"HANG" in err:
        raise Finding(f"({call}) {tail(err)}")
    if b"LOST" in out:
        raise Finding(f"({call}) {tail(out)}")
    if status == 0:
        if out != want:
            raise Finding(f"({call}) a wrong result: {tail(out)}")
        return "right" if hit or k == 0 else "unhit"
    if status == 3 and b"error: " in err:
        return "error"
    return fault.end(name, status, err)
