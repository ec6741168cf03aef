#!/usr/bin/env python3
"""Prints the vectors of test_signature.c.

An implementation of RFC 9421 and RFC 9530 that shares nothing with common/wire/signature.c: Ed25519 from
Python's `cryptography` (OpenSSL). It first proves itself on the Ed25519 example of RFC 9421, B.2.6.
"""

import base64
import hashlib

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def url64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def std64(data):
    return base64.b64encode(data).decode()


def signature_base(components, params):
    lines = ['"%s": %s' % c for c in components]
    return "\n".join(lines + ['"@signature-params": ' + params])


def params_of(components, tail):
    return "(" + " ".join('"%s"' % name for name, _ in components) + ")" + tail


def check_rfc_example():
    der = base64.b64decode("MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF")
    key = serialization.load_der_private_key(der, None)
    parts = [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("@method", "POST"),
        ("@path", "/foo"),
        ("@authority", "example.com"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    ]
    params = params_of(parts, ';created=1618884473;keyid="test-key-ed25519"')
    sig = std64(key.sign(signature_base(parts, params).encode()))
    want = "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
    assert sig == want, "the example of RFC 9421, B.2.6 does not come out"


def vector(seed, created, nonce, method, path, query, pod, sandbox, operator, body):
    key = Ed25519PrivateKey.from_private_bytes(seed)
    raw = serialization.Encoding.Raw, serialization.PublicFormat.Raw
    public = key.public_key().public_bytes(*raw)
    keyid = url64(hashlib.sha256(public).digest()[:12])
    digest = "sha-256=:%s:" % std64(hashlib.sha256(body).digest())
    parts = [
        ("@method", method),
        ("@path", path),
        ("@query", "?" + query),
        ("content-digest", digest),
        ("arl-pod-uid", pod),
        ("arl-sandbox-uid", sandbox),
        ("arl-operator-key", operator),
    ]
    tail = ';created=%d;nonce="%s";keyid="%s";alg="ed25519"' % (created, url64(nonce), keyid)
    params = params_of(parts, tail)
    sig = std64(key.sign(signature_base(parts, params).encode()))
    print("key     ", keyid + ":" + url64(seed))
    print("public  ", keyid + "=" + url64(public))
    print("input   ", "arl=" + params)
    print("sig     ", "arl=:%s:" % sig)
    print("digest  ", digest)


check_rfc_example()
POD, SANDBOX = "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "f47ac10b-58cc-4372-a567-0e02b2c3d479"
OPERATOR = url64(bytes(range(64, 96)))
vector(bytes(range(32)), 1767323045, bytes(range(16)), "PUT", "/v1/tasks/0a1b/1", "after=0",
       POD, SANDBOX, OPERATOR, b'{"steps":[]}')
vector(b"\xff" * 32, 0, b"\xff" * 16, "DELETE", "/v1/tasks/0a1b/10", "", POD, SANDBOX, OPERATOR, b"")
