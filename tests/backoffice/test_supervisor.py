"""Several worker processes: one that dies is replaced, and none outlives the one that started them."""

import os
import signal
from pathlib import Path

from tests.backoffice.test_run import alive, descendants
from tests.site import Site


def test_one_that_dies_is_replaced_and_all_stop_together(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        supervisor = site.start("worker", "--processes=2")
        first = site.wait_until(lambda: two(supervisor.pid))
        killed = first.pop()
        os.kill(killed, signal.SIGKILL)
        second = site.wait_until(lambda: killed not in descendants(supervisor.pid) and two(supervisor.pid))
        assert first < second
        supervisor.send_signal(signal.SIGTERM)
        assert supervisor.wait(timeout=20) == 0
        assert not any(alive(pid) for pid in second)


def test_they_stop_where_the_one_that_started_them_is_gone(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        supervisor = site.start("worker", "--processes=2")
        workers = site.wait_until(lambda: two(supervisor.pid))
        supervisor.kill()
        supervisor.wait()
        site.wait_until(lambda: not any(alive(pid) for pid in workers), seconds=20)


def two(pid: int) -> set[int] | None:
    """The two processes that `pid` has started, once there are two."""
    started = descendants(pid)
    return started if len(started) == 2 else None
