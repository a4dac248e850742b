"""An ailing provider, a database that drops everybody, workers told to stop: each costs what the table says."""

import os
import signal
import time
from pathlib import Path

import psycopg
import pytest

from tests.endurance.fleet import RECORD, Fleet, figures, settings, worker
from tests.provider import Provider
from tests.site import Site

POSTGRES = bool(os.environ.get("TEST_DATABASE_URL"))
COUNT = 1000
INVALID = """
from django.core.mail import send_mail
for n in range({count}):
    send_mail("Subject", "The text", None, [f"invalid{{n}}@example.com"])
send_mail("Poison", "The text", None, ["poison@example.com"])
from emails.models import EmailLog
EmailLog.objects.filter(subject="Poison").update(payload="{{not json")
"""


def hurry(site: Site) -> None:
    """Let time pass: what waits for another try is due, and a lane that rests is tried."""
    database = site.environment["DATABASE_URL"]
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("UPDATE emails_emaillog SET run_at = now() WHERE state = 'retrying'")
        connection.execute("UPDATE emails_lane SET closed_until = now() WHERE closed_until > now()")


@pytest.mark.skipif(not POSTGRES, reason="many workers want PostgreSQL")
def test_a_fifth_of_all_calls_goes_wrong_in_every_way(tmp_path: Path) -> None:
    with (
        Provider(latency=0.005, fault_rate=0.2) as provider,
        Site(tmp_path, **provider.postmark, **settings(EMAIL_TIMEOUT="1")) as site,
    ):
        site.python(RECORD.format(count=COUNT) + INVALID.format(count=20))
        fleet = Fleet(site, provider, worker(site, tmp_path), 2)
        fleet.start_all()
        end = time.monotonic() + 200
        while not (states := fleet.settled()) and time.monotonic() < end:
            hurry(site)
            time.sleep(0.5)
        judged = provider.state()
        figures("20 % faults", fleet, states or {}, judged)
        print(f"faults: {judged['faults']}")
        fleet.stop()
        assert states
        faults = judged["faults"]
        assert judged["copies"] == judged["accepted"]  # no second copy of anything
        # 503 and 429 are tried again until they are accepted; a reset, a hang and garbage leave a doubt, each once.
        broken = sum(faults.get(name, 0) for name in ("reset-before", "reset-after", "hang", "garbage"))
        assert states["in_doubt"] == broken
        assert states["suppressed"] == 20  # refused, and not tried again
        assert states["failed"] == 1  # the poison row, which stopped nobody
        assert states["sent"] + states["suppressed"] + states["in_doubt"] == COUNT + 20
        assert judged["accepted"] >= states["sent"]


@pytest.mark.skipif(not POSTGRES, reason="SQLite has no connections to lose")
def test_a_database_that_drops_everybody_costs_seconds(tmp_path: Path) -> None:
    with Provider(latency=0.02) as provider, Site(tmp_path, **provider.postmark, **settings()) as site:
        site.python(RECORD.format(count=2000))
        fleet = Fleet(site, provider, worker(site, tmp_path), 2)
        fleet.start_all()
        for drop in range(5):
            site.wait_until(lambda least=200 * (drop + 1): provider.state()["accepted"] >= least, seconds=60)
            with psycopg.connect(site.server.rpartition("/")[0] + "/postgres", autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [site.name]
                )
        states = site.wait_until(fleet.settled, seconds=60)
        judged = provider.state()
        figures("connections dropped 5 times", fleet, states, judged)
        assert [process.poll() for process in fleet.processes] == [None, None]  # nobody had to start them anew
        fleet.stop()
        assert judged["copies"] == judged["accepted"] == 2000
        assert states == {"sent": 2000}


def test_workers_told_to_stop_leave_no_doubt_behind(tmp_path: Path) -> None:
    count, stops = (2000, 20) if POSTGRES else (500, 5)
    with Provider(latency=0.05) as provider, Site(tmp_path, **provider.postmark, **settings()) as site:
        site.python(RECORD.format(count=count))
        for stop in range(stops):
            process = worker(site, tmp_path)()
            least = (stop + 1) * count // (stops + 2)
            site.wait_until(lambda least=least: provider.state()["accepted"] >= least, seconds=60)
            process.send_signal(signal.SIGTERM)
            started = time.monotonic()
            assert process.wait(timeout=30) == 0
            assert time.monotonic() - started < 3 + 5
            assert set(site.states()) <= {"sent", "queued"}
        fleet = Fleet(site, provider, worker(site, tmp_path), 1)
        states = fleet.work_off(count, kills=0)
        judged = provider.state()
        figures(f"SIGTERM {stops} times", fleet, states, judged)
        fleet.stop()
        assert states == {"sent": count}
        assert judged["copies"] == judged["accepted"] == count


@pytest.mark.skipif(not POSTGRES, reason="many workers want PostgreSQL")
def test_the_rate_holds_over_all_workers_in_every_second(tmp_path: Path) -> None:
    limited = settings(EMAIL_RATE_LIMIT="30")
    with Provider(latency=0.02) as provider, Site(tmp_path, **provider.postmark, **limited) as site:
        site.python(RECORD.format(count=300))
        fleet = Fleet(site, provider, worker(site, tmp_path), 4)
        started = time.monotonic()
        states = fleet.work_off(300, kills=0)
        seconds, judged = time.monotonic() - started, provider.state()
        figures(f"rate limit 30/s, {seconds:.1f} s", fleet, states, judged)
        print(f"busiest second: {judged['busiest_second']}")
        fleet.stop()
        assert states == {"sent": 300}
        assert judged["busiest_second"] <= 30
