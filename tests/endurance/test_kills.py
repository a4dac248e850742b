"""All workers are killed ten times: nothing is lost, nothing sent twice, no more in doubt than was in flight."""

import os
import time
from pathlib import Path
from uuid import UUID

import pytest

from tests.endurance import reports
from tests.endurance.fleet import RECORD, Fleet, figures, settings, worker
from tests.provider import Provider
from tests.site import Site

POSTGRES = bool(os.environ.get("TEST_DATABASE_URL"))
COUNT, WORKERS = (5000, 4) if POSTGRES else (2000, 2)
KILLS, THREADS = 10, 8


def test_with_a_provider_that_knows_no_keys(tmp_path: Path) -> None:
    heard = settings(ANYMAIL_WEBHOOK_SECRET=":".join(reports.SECRET))
    with Provider(latency=0.02) as provider, Site(tmp_path, **provider.postmark, **heard) as site:
        site.python(RECORD.format(count=COUNT))
        fleet = Fleet(site, provider, worker(site, tmp_path), WORKERS)
        states = fleet.work_off(COUNT, KILLS)
        judged = provider.state()
        figures("kill -9, no keys", fleet, states, judged)
        fleet.stop()
        assert "database is locked" not in site.output.read_text()
        assert judged["copies"] == judged["accepted"]  # no second copy
        assert set(states) <= {"sent", "in_doubt"}
        assert sum(states.values()) == COUNT
        # What is marked as sent was accepted, and what was never accepted is shown as a doubt: nothing is lost.
        assert states["sent"] <= judged["accepted"] <= COUNT
        assert states.get("in_doubt", 0) <= len(fleet.left_sending)
        assert fleet.most_at_once <= WORKERS * THREADS
        settle_by_reports(site, set(judged["refs"]))


def settle_by_reports(site: Site, accepted: set[str]) -> None:
    """The provider tells of all that it accepted: exactly those doubts are none any more."""
    doubts = {str(UUID(str(ref))) for (ref,) in site.rows("SELECT ref FROM emails_emaillog WHERE state = 'in_doubt'")}
    others = sorted(accepted - doubts)[:200]
    began = time.monotonic()
    statuses = reports.tell(reports.serve(site), [*sorted(accepted & doubts), *others])
    seconds = time.monotonic() - began
    left = {str(UUID(str(ref))) for (ref,) in site.rows("SELECT ref FROM emails_emaillog WHERE state = 'in_doubt'")}
    print(f"{len(doubts)} in doubt, {len(doubts & accepted)} accepted, {len(left)} left; {seconds:.1f} s", flush=True)
    assert set(statuses) == {200}
    assert left == doubts - accepted
    assert site.rows("SELECT COUNT(*) FROM emails_emailevent WHERE reported")[0][0] == len(accepted & doubts) + len(
        others
    )


def test_with_a_provider_that_knows_our_keys(tmp_path: Path) -> None:
    with Provider(latency=0.02, keys=True) as provider, Site(tmp_path, **provider.resend, **settings()) as site:
        site.python(RECORD.format(count=COUNT))
        fleet = Fleet(site, provider, worker(site, tmp_path), WORKERS)
        states = fleet.work_off(COUNT, KILLS)
        judged = provider.state()
        figures("kill -9, keys", fleet, states, judged)
        fleet.stop()
        assert states == {"sent": COUNT}
        assert judged["copies"] == judged["accepted"] == COUNT
        assert judged["changed"] == 0  # one distinct body per ref


@pytest.mark.skipif(not POSTGRES, reason="SQLite is one machine's")
def test_two_hosts_share_one_queue(tmp_path: Path) -> None:
    with Provider(latency=0.02) as provider, Site(tmp_path, **provider.postmark, **settings()) as site:
        site.python(RECORD.format(count=2000))
        hosts = [tmp_path / "one", tmp_path / "two"]
        for host in hosts:
            host.mkdir()
        starts = iter([worker(site, host) for host in hosts])
        fleet = Fleet(site, provider, lambda: next(starts)(), 2)
        states = fleet.work_off(2000, kills=0)
        judged = provider.state()
        figures("two hosts", fleet, states, judged)
        fleet.stop()
        assert states == {"sent": 2000}
        assert judged["copies"] == judged["accepted"] == 2000
