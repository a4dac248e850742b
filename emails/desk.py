"""Where one thread makes many attempts: whoever waits for the network leaves the thread to the others.

Python runs one thread at a time anyway. Dozens of them push each other, and the one that talks to the database, off the
interpreter, and every push costs: measured, two fifths of what a message takes. Here each sender is a greenlet,
so that Anymail's code, which knows nothing of it, stops in the middle and goes on when there is an answer.
"""

import atexit
import logging
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import BufferedReader, RawIOBase
from queue import Empty
from typing import Any, TypeVar
from weakref import WeakSet

from greenlet import getcurrent, greenlet
from urllib3.util.wait import wait_for_read, wait_for_write

from emails.wording import frames

logger = logging.getLogger(__name__)

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
LOOK, REST = 0.1, 1.0  # Seconds between looks at whose time is over (up to two late), and where nobody's can be.

T = TypeVar("T")
_here = threading.local()
_desks: "WeakSet[Desk]" = WeakSet()


class NoThread(OSError):
    """None could be started: the system has no more, or the process is about to end."""


class Desk:
    """A thread, the greenlets in it, and the work that they take: a queue with `put` and `get`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: deque[Any] = deque()
        self.idle: list[greenlet] = []  # Who waits for work; the last one's connection is the freshest.
        self.back: deque[greenlet] = deque()  # Whose call elsewhere has ended.
        self.parked: dict[greenlet, float] = {}  # Who waits for something, and until when.
        self.selector = selectors.DefaultSelector()
        self.bell, self.button = socket.socketpair()
        self.bell.setblocking(False)
        self.button.setblocking(False)
        self.rung = False
        self.closing, self.closed = False, threading.Event()

    def seat(self, number: int, work: Callable[[], None]) -> None:
        """Have `number` greenlets do `work` in a thread of this desk, which ends with the last of them."""
        self.thread = threading.Thread(target=self.run, args=[number, work], name=self.name, daemon=True)
        _desks.add(self)
        self.thread.start()

    def run(self, number: int, work: Callable[[], None]) -> None:
        _here.desk, self.hub = self, getcurrent()
        self.selector.register(self.bell, READ)
        for _ in range(number):
            greenlet(lambda: self.keep_at(work)).switch()
        while self.parked:
            if self.closing:
                self.closed.set()
                threading.Event().wait()
            self.look(0 if self.items and self.idle else self.patience())
            while self.back:
                self.back.popleft().switch(True)
            if self.items and self.idle:  # One, and then whose answer is there: what ends first is written first.
                self.idle.pop().switch(True)
        self.closed.set()
        _desks.discard(self)
        self.selector.close()
        self.bell.close()
        self.button.close()

    def keep_at(self, work: Callable[[], None]) -> None:
        """Do `work`, and again if it fails: an error that got out of here would end the thread, and all at the desk."""
        while True:
            try:
                return work()
            except Exception as error:
                logger.error("desk.failed error=%s", frames(error))
                self.park(REST)

    def patience(self) -> float:
        return LOOK if any(until != float("inf") for until in self.parked.values()) else REST

    def look(self, timeout: float) -> None:
        """Wake whose socket is ready, and whose time is over."""
        now = time.monotonic()  # As of before: where one has held up the others, their answers may be there by now.
        ready = [key.data for key, _ in self.selector.select(timeout)]
        if None in ready:  # Before anybody goes on: what is put meanwhile rings again, and that must not be taken too.
            self.bell.recv(64)
        self.rung = False
        for waiting in ready:
            if waiting is not None:
                waiting.switch(True)
        for waiting, until in tuple(self.parked.items()):
            if until < now and self.parked.get(waiting) == until:
                waiting.switch(False)

    def park(self, timeout: float | None) -> bool:
        """Leave the thread to others; False where `timeout` seconds have gone by before what was waited for."""
        me = getcurrent()
        self.parked[me] = float("inf") if timeout is None else time.monotonic() + timeout
        try:
            return bool(self.hub.switch())
        finally:
            del self.parked[me]

    def ring(self) -> None:
        """Have the thread look again, from any other."""
        if not self.rung:
            self.rung = True
            with suppress(OSError):  # It has just ended, having seen what this is about.
                self.button.send(b"!")

    def put(self, item: Any) -> None:
        self.items.append(item)
        self.ring()

    def get(self, timeout: float | None = None) -> Any:
        """The next item; raises queue.Empty where there is none in `timeout` seconds."""
        me = getcurrent()
        self.idle.append(me)
        if not self.park(timeout):
            self.idle.remove(me)
            raise Empty
        return self.items.popleft()


def wait(sock: Any, event: int, timeout: float | None) -> None:
    """Wait until `sock` is ready, at a desk or not; raises TimeoutError."""
    desk: Desk | None = getattr(_here, "desk", None)
    if desk is None:
        ready = (wait_for_read if event == READ else wait_for_write)(sock, timeout)
    else:
        desk.selector.register(sock, event, getcurrent())
        try:
            ready = desk.park(timeout)
        finally:
            desk.selector.unregister(sock)
    if not ready:
        raise TimeoutError("timed out")


def elsewhere(work: Callable[[], T]) -> T:
    """What `work` returns or raises, which may take long: at a desk, a thread of its own is made for it.

    Raises NoThread where there can be none: then nothing is done.
    """
    desk: Desk | None = getattr(_here, "desk", None)
    if desk is None:
        return work()
    me = getcurrent()
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        desk.back.append(me)
        desk.ring()

    try:
        threading.Thread(target=run, daemon=True).start()
    except RuntimeError as error:
        raise NoThread("No thread could be started") from error
    desk.park(None)
    if errors:
        raise errors[0]
    return results[0]


class Received(RawIOBase):
    """What a non-blocking socket receives, as a file; each read may take `timeout` seconds."""

    def __init__(self, sock: Any, timeout: float | None) -> None:
        self.sock, self.timeout = sock, timeout

    def makefile(self, mode: str) -> BufferedReader:
        """As sockets do it for http.client."""
        return BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return int(tried(self.sock, READ, self.timeout, partial(self.sock.recv_into, buffer)))


def send(sock: Any, data: bytes, timeout: float | None) -> None:
    """Send all of `data` over a non-blocking socket. What its buffers take is gone at once."""
    left = memoryview(data)
    while left:
        left = left[tried(sock, WRITE, timeout, partial(sock.send, left)) :]


def tried(sock: Any, event: int, timeout: float | None, step: Callable[[], int]) -> int:
    """What `step` returns when the socket is ready for it. TLS may have to read in order to write (RFC 8446, 4.6)."""
    while True:
        try:
            return step()
        except ssl.SSLWantReadError:
            wait(sock, READ, timeout)
        except ssl.SSLWantWriteError:
            wait(sock, WRITE, timeout)
        except BlockingIOError:
            wait(sock, event, timeout)


@atexit.register
def close() -> None:
    """Let no greenlet run while the process ends: Python 3.11 may crash where it ends a thread amid one."""
    running = [desk for desk in tuple(_desks) if desk.thread.is_alive()]  # In a fork, none is.
    for desk in running:
        desk.closing = True
        desk.ring()
    for desk in running:
        desk.closed.wait(timeout=1)
