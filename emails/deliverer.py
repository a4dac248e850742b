"""A worker's delivering thread: it drains whenever something is due, and rests in between until it is woken."""

import logging
import threading

from django.db import InterfaceError, OperationalError, close_old_connections, connections

from emails.delivery import Drain
from emails.models import EmailLog
from emails.sending import kept_senders
from emails.wording import frames

logger = logging.getLogger(__name__)

REST = 1.0  # Seconds until it looks for due messages without being woken: what is to be retried wakes nobody.
_running: "Deliverer | None" = None


class Deliverer(threading.Thread):
    def __init__(self) -> None:
        super().__init__(name="deliverer", daemon=True)
        self.stopping = threading.Event()
        self.drain: Drain | None = None

    def run(self) -> None:
        global _running
        _running = self
        while not self.stopping.is_set():
            try:
                self.deliver()
            except (OperationalError, InterfaceError) as error:  # A database that restarts costs seconds.
                logger.warning("delivery.database_away error=%s", type(error).__name__)
                self.pause()
            except Exception as error:
                logger.error("delivery.failed error=%s", frames(error))
                self.pause()
        _running = None
        connections.close_all()

    def deliver(self) -> None:
        with Drain(kept_senders()) as self.drain:
            while not self.stopping.is_set():
                self.drain.run(until=float("inf"))
                self.drain.gather(REST)
                close_old_connections()

    def pause(self) -> None:
        connections[EmailLog.objects.db].close()
        self.stopping.wait(1)

    def wake(self) -> None:
        if self.drain is not None:
            self.drain.wake()

    def stop(self) -> None:
        """Take nothing new; what is in flight is waited for by `join()`."""
        self.stopping.set()
        if self.drain is not None:
            self.drain.stop()


def wake() -> bool:
    """Wake the deliverer of this process; False where there is none, so that the caller has to deliver."""
    if _running is None:
        return False
    _running.wake()
    return True
