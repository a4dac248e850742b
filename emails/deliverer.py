"""A worker's delivering thread: it drains whenever something is due, and rests in between until it is woken."""

import logging
import threading

from django.db import InterfaceError, OperationalError, close_old_connections, connections

from emails import providers
from emails.delivery import Drain
from emails.models import EmailLog
from emails.providers import Provider
from emails.sending import kept_senders
from emails.wording import frames

logger = logging.getLogger(__name__)

REST = 1.0  # Seconds until it looks for due messages without being woken: what is to be retried wakes nobody.
_running: "set[Deliverer]" = set()


class Deliverer(threading.Thread):
    """One provider's; where there is a fallback, it has one of its own."""

    def __init__(self, provider: Provider) -> None:
        super().__init__(name=f"deliverer-{provider.key}", daemon=True)
        self.provider = provider
        self.stopping = threading.Event()
        self.drain: Drain | None = None

    def run(self) -> None:
        _running.add(self)
        while not self.stopping.is_set():
            try:
                self.deliver()
            except (OperationalError, InterfaceError) as error:  # A database that restarts costs seconds.
                logger.warning("delivery.database_away error=%s", type(error).__name__)
                self.pause()
            except Exception as error:
                logger.error("delivery.failed error=%s", frames(error))
                self.pause()
        _running.discard(self)
        connections.close_all()

    def deliver(self) -> None:
        with Drain(kept_senders(self.provider), self.provider) as self.drain:
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
    for deliverer in tuple(_running):
        deliverer.wake()
    return bool(_running)


def deliverers() -> list[Deliverer]:
    """One for each provider in use, not started yet."""
    return [Deliverer(provider) for provider in providers.in_use()]
