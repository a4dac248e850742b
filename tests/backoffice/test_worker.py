"""The worker as operators run it: real processes, real signals."""

import signal
import time
from pathlib import Path

import pytest

from tests.esp import LoopbackESP
from tests.sink import free_port
from tests.site import Site

RECORD = """
from django.core.mail import send_mail
for n in range({count}):
    send_mail(f"Subject {{n}}", "text", None, [f"p{{n}}@example.com"])
"""


def postmark(url: str) -> dict[str, str]:
    return {"EMAIL_PROVIDER": "postmark", "POSTMARK_SERVER_TOKEN": "token", "POSTMARK_API_URL": url}


def test_it_delivers_what_is_recorded_and_stops_cleanly_on_sigterm(tmp_path: Path) -> None:
    with LoopbackESP() as esp, Site(tmp_path, **postmark(esp.url)) as site:
        worker = site.start("worker")
        site.python(RECORD.format(count=20))
        site.wait_until(lambda: len(esp.accepted) == 20)
        site.wait_until(lambda: site.states() == {"sent": 20})
        started = time.monotonic()
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(timeout=15) == 0
        assert time.monotonic() - started < 12
        assert len(set(esp.refs)) == 20


def test_nothing_is_lost_or_doubled_while_the_provider_is_down(tmp_path: Path) -> None:
    port = free_port()
    with Site(tmp_path, **postmark(f"http://127.0.0.1:{port}/")) as site:
        site.start("worker")
        site.python(RECORD.format(count=10))
        site.wait_until(lambda: site.states().get("retrying", 0) >= 5)
        with LoopbackESP(port) as esp:
            site.python(
                "from emails.models import EmailLog, Lane; from django.utils import timezone\n"
                "EmailLog.objects.update(run_at=timezone.now())  # As if the time had passed.\n"
                "Lane.objects.update(closed_until=timezone.now())"
            )
            site.wait_until(lambda: site.states() == {"sent": 10})
            assert len(esp.accepted) == len(set(esp.refs)) == 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_idle_worker_stops_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with Site(tmp_path) as site:
        worker = site.start("worker", "-v", "2")
        site.wait_until(lambda: "Starting worker" in site.output.read_text())
        time.sleep(0.5)
        worker.send_signal(number)
        assert worker.wait(timeout=10) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_without_the_database_engine_it_sweeps_and_stops_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with LoopbackESP() as esp, Site(tmp_path, TASK_BACKEND="immediate", **postmark(esp.url)) as site:
        # Recorded without a wake-up, as after one that was lost.
        site.python(
            "from unittest.mock import patch\nwith patch('emails.outbox.WakeUp.__call__'):\n"
            "    from django.core.mail import send_mail\n    send_mail('s', 'b', None, ['a@example.com'])"
        )
        worker = site.start("worker")
        site.wait_until(lambda: site.states() == {"sent": 1})
        worker.send_signal(number)
        assert worker.wait(timeout=10) == 0
