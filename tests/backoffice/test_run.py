"""`manage.py run`, which `make run` ends with: both processes together, stopped together."""

import os
import re
import signal
import socket
from pathlib import Path

from tests.sink import free_port
from tests.site import Site, answers


def descendants(pid: int) -> set[int]:
    """The running processes that `pid` has started, and those they started."""
    found: set[int] = set()
    children = Path(f"/proc/{pid}/task/{pid}/children")
    for child in children.read_text().split() if children.exists() else []:
        found |= {int(child)} | descendants(int(child))
    return found


def alive(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


def test_the_demo_tells_a_story_and_ctrl_c_leaves_no_process(tmp_path: Path) -> None:
    port = free_port()
    with Site(tmp_path, PORT=str(port)) as site:
        shown = site.manage("demo").stdout
        assert re.search(r"Sign in as admin with the password \S{12}", shown)
        assert "already" in site.manage("demo").stdout
        kinds = site.python(
            "from emails.models import EmailLog\nanswer = sorted(set(EmailLog.objects.values_list('kind', 'state')))"
        )
        assert {kind for kind, _ in kinds} >= {"welcome", "update_notice", "deactivated", "account_deleted"}
        assert {state for _, state in kinds} == {"sent"}

        running = site.start("run", "--port", str(port))
        site.wait_until(lambda: f"http://127.0.0.1:{port}/admin/" in site.output.read_text())
        assert answers(f"http://127.0.0.1:{port}/readyz")
        started = descendants(running.pid)
        assert len(started) >= 2
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=20) == 0
        site.wait_until(lambda: not any(alive(pid) for pid in started), seconds=5)


def test_a_port_that_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with Site(tmp_path) as site, socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = site.manage("run", "--port", str(port), check=False)
        assert done.returncode == 1
        assert done.stderr.strip().splitlines() == [
            f"CommandError: Port {port} is taken or not allowed. Choose another: make run PORT={port + 1}"
        ]


def test_where_one_process_stops_the_other_is_stopped_too(tmp_path: Path) -> None:
    port = free_port()
    with Site(tmp_path, PORT=str(port)) as site:
        running = site.start("run", "--port", str(port))
        site.wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"))
        started = descendants(running.pid)
        worker = next(pid for pid in started if b"worker" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(worker, signal.SIGKILL)
        assert running.wait(timeout=20) == 1
        assert "The worker stopped by itself" in site.output.read_text()
        site.wait_until(lambda: not any(alive(pid) for pid in started), seconds=5)
