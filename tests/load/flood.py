"""Floods pods' agents with unsigned requests, from this machine, until its stdin ends.

flood.py CONNECTIONS SIZE < "ADDRESS PORT" lines, then an empty one

Holds CONNECTIONS connections to each pod at once. Half of them send a request with a body of SIZE bytes. The others stop in the
middle of a long head, and stay open. A connection that is cut is opened again after AGAIN_S at the earliest: a flood of new
connections would test the kernel instead. Prints what it did as JSON.
"""
import errno
import json
import os
import resource
import select
import socket
import sys
import time

AGAIN_S = 10
BLOCK = b"x" * 65536
PADDING = b"X-Padding: " + b"y" * 8000


class Connection:
    def __init__(self, peer, stays):
        self.peer, self.stays, self.sock, self.due = peer, stays, None, 0.0

    def open(self, head, size):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.head, self.left = (head[:-2] + PADDING, 0) if self.stays else (head, size)
        return self.sock.connect_ex(self.peer) in (0, errno.EINPROGRESS)

    def send(self):
        """Sends a part of the request. Returns how many bytes of the body were sent. The first ones go together with the head: the agent
        may refuse a request as soon as it has the head."""
        sent = self.sock.send(self.head + BLOCK[:self.left])
        n = max(sent - len(self.head), 0)
        self.head = self.head[sent:]
        self.left -= n
        return n


class Flood:
    def __init__(self, peers, connections, size):
        self.size = size
        self.head = (f"PUT /v1/tasks/6b9b6f0e-0000-4000-8000-000000000001/1 HTTP/1.1\r\nHost: pod\r\nContent-Length: {size + 1}\r\n\r\n").encode()
        self.poll, self.by_fd = select.epoll(), {}
        self.waiting = [Connection(p, i % 2 == 1) for i in range(connections) for p in peers]
        self.told = {"opened": 0, "refused": 0, "cut": 0, "bytes": 0, "most_open": 0}

    def open_due(self, now, most):
        """Opens at most so many of the connections that are due: the open ones must go on in between."""
        for _ in range(min(most, len(self.waiting))):
            if self.waiting[0].due > now:
                return
            c = self.waiting.pop(0)
            if not c.open(self.head, self.size):
                self.told["refused"] += 1
                self.close(c, now)
                continue
            self.told["opened"] += 1
            self.by_fd[c.sock.fileno()] = c
            self.poll.register(c.sock, select.EPOLLOUT | select.EPOLLRDHUP)
        self.told["most_open"] = max(self.told["most_open"], len(self.by_fd))

    def close(self, c, now):
        self.by_fd.pop(c.sock.fileno(), None)
        c.sock.close()
        c.due = now + AGAIN_S
        self.waiting.append(c)

    def serve(self, fd, events, now):
        c = self.by_fd[fd]
        try:
            if events & (select.EPOLLHUP | select.EPOLLERR | select.EPOLLRDHUP):
                raise ConnectionResetError
            self.told["bytes"] += c.send()
            if not c.head and c.left == 0:  # the announced length is a byte more, so the request never ends
                self.poll.modify(c.sock, select.EPOLLRDHUP)
        except BlockingIOError:
            pass
        except OSError:
            self.told["cut"] += 1
            self.close(c, now)

    def run(self):
        stop = select.poll()
        stop.register(sys.stdin, select.POLLIN | select.POLLHUP)
        while not stop.poll(0):
            now = time.monotonic()
            self.open_due(now, 200)
            for fd, events in self.poll.poll(0.05, 500):
                self.serve(fd, events, now)


def main():
    connections, size = int(sys.argv[1]), int(sys.argv[2])
    peers = []
    while line := sys.stdin.readline().strip():
        host, port = line.split()
        peers.append((host, int(port)))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.nice(10)
    flood = Flood(peers, connections, size)
    flood.run()
    print(json.dumps(flood.told))


if __name__ == "__main__":
    main()
