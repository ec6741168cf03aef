"""Ports for servers that a test starts."""
import errno
import random
import socket

FIRST = 10000


def free_port():
    """One that nobody has, below those that the kernel gives to connections and to port 0: these are taken in the time until the server listens."""
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as f:
        end = int(f.read().split()[0])
    for _ in range(1000):
        port = random.SystemRandom().randrange(FIRST, end)
        with socket.socket(socket.AF_INET6) as s:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            try:
                s.bind(("::", port))
            except OSError as e:
                if e.errno != errno.EADDRINUSE:
                    raise
                continue
            return port
    raise RuntimeError(f"no port from {FIRST} to {end} is free")
