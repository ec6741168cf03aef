"""The operator's side of the sealed channel, written after docs/protocol.md: it shares nothing with common/wire/channel.c.

X25519, XChaCha20-Poly1305 and secretstream come from libsodium, by ctypes. BLAKE2b is Python's own.
"""
import base64
import ctypes
import hashlib
import os
import struct

CONTENT_TYPE = "application/vnd.arl.sealed"
KEY_PREFIX = "arl-agent-key:"
SEAL_BYTES = 16
STREAM_HEADER_BYTES = 24
FRAME_TAG_BYTES = 17
FRAME_MAX = 64 << 10
TAG_FINAL = 3

SODIUM = ctypes.CDLL("libsodium.so.23")
if SODIUM.sodium_init() < 0:
    raise RuntimeError("libsodium does not start")


class NotBelieved(Exception):
    """The answer was not made by the agent for this request."""


class CutShort(NotBelieved):
    """The answer ends without its last frame."""


def url64(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unurl64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def prefixed(text):
    data = text.encode()
    return struct.pack("<I", len(data)) + data


class Pair:
    """An X25519 key pair."""

    def __init__(self, secret=None):
        self.secret = secret or os.urandom(32)
        public = ctypes.create_string_buffer(32)
        SODIUM.crypto_scalarmult_base(public, self.secret)
        self.public = public.raw
        self.text = url64(self.public)

    def shared(self, agent_key, pod):
        """The secret that the owner of this pair shares with the agent of a pod."""
        point = ctypes.create_string_buffer(32)
        if SODIUM.crypto_scalarmult(point, self.secret, agent_key) != 0:
            raise ValueError("the agent's key is none")
        return hashlib.blake2b(prefixed("arl channel 2") + point.raw + self.public + agent_key + prefixed(pod), digest_size=32).digest()


def derive(shared, direction, method, path, query, sandbox, nonce):
    text = b"".join(prefixed(t) for t in (direction, method, path, query, sandbox, nonce))
    return hashlib.blake2b(text, key=shared, digest_size=32).digest()


def seal(key, plain):
    out = ctypes.create_string_buffer(len(plain) + SEAL_BYTES)
    SODIUM.crypto_aead_xchacha20poly1305_ietf_encrypt(
        out, None, plain, ctypes.c_ulonglong(len(plain)), None, ctypes.c_ulonglong(0), None, bytes(24), key)
    return out.raw


class Answer:
    """A sealed answer that is read from a file: the status first, then line by line or all at once."""

    def __init__(self, file, key):
        self.file, self.waiting, self.final, self.frames = file, b"", False, 0
        self.state = ctypes.create_string_buffer(52)
        if SODIUM.crypto_secretstream_xchacha20poly1305_init_pull(self.state, self.take(STREAM_HEADER_BYTES), key) != 0:
            raise NotBelieved("the header")
        status = self.frame()
        if len(status) != 2 or self.final:
            raise NotBelieved("the status")
        self.status = struct.unpack("<H", status)[0]

    def take(self, size):
        data = b""
        while len(data) < size:
            part = self.file.read(size - len(data))
            if not part:
                raise CutShort("the answer ends in a frame, after %d whole ones" % self.frames)
            data += part
        return data

    def frame(self):
        size = struct.unpack("<I", self.take(4))[0]
        if not FRAME_TAG_BYTES <= size <= FRAME_MAX + FRAME_TAG_BYTES:
            raise NotBelieved("a frame of %d bytes" % size)
        sealed, plain = self.take(size), ctypes.create_string_buffer(size)
        length, tag = ctypes.c_ulonglong(), ctypes.c_ubyte()
        if SODIUM.crypto_secretstream_xchacha20poly1305_pull(
                self.state, plain, ctypes.byref(length), ctypes.byref(tag), sealed, ctypes.c_ulonglong(size), None, ctypes.c_ulonglong(0)) != 0:
            raise NotBelieved("frame %d does not open" % self.frames)
        self.final = tag.value == TAG_FINAL
        if tag.value not in (0, TAG_FINAL) or (self.final and self.file.read(1)):
            raise NotBelieved("the tag %d, or bytes behind the last frame" % tag.value)
        self.frames += 1
        return plain.raw[:length.value]

    def readline(self):
        """The next line; b"" at the end."""
        while b"\n" not in self.waiting and not self.final:
            self.waiting += self.frame()
        line, newline, self.waiting = self.waiting.partition(b"\n")
        return line + newline

    def read(self):
        while not self.final:
            self.waiting += self.frame()
        data, self.waiting = self.waiting, b""
        return data

    def close(self):
        self.file.close()
