"""Celery's workers are killed and its broker forgets everything: the outbox is the truth."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from tests.endurance.fleet import RECORD, Fleet, figures, settings
from tests.provider import Provider
from tests.site import ROOT, Site

pytestmark = pytest.mark.skipif(not os.environ.get("TEST_DATABASE_URL"), reason="many machines share PostgreSQL")

REDIS = os.environ.get("CI_REDIS_URL", "redis://127.0.0.1:6379/9")
RABBITMQ = os.environ.get("CI_RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672//")
COUNT, MACHINES, CHILDREN, THREADS, KILLS = 5000, 2, 2, 8, 10


@pytest.fixture(autouse=True)
def empty_redis() -> Iterator[None]:
    server = redis.Redis.from_url(REDIS)
    server.flushdb()
    yield
    server.flushdb()
    server.close()


def celery(site: Site, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "celery", "-A", "backoffice.celery", *arguments]
    with site.output.open("ab") as output:
        process = subprocess.Popen(
            command, env=site.environment, cwd=ROOT, stdout=output, stderr=output, start_new_session=True
        )
    site.processes.append(process)
    return process


def machine(site: Site) -> Callable[[], "subprocess.Popen[bytes]"]:
    return lambda: celery(site, "worker", f"--concurrency={CHILDREN}", "--hostname", f"{uuid4().hex[:8]}@here")


def beat(site: Site, folder: Path) -> "subprocess.Popen[bytes]":
    return celery(site, "beat", f"--schedule={folder / 'schedule'}")


def test_workers_killed_ten_times_lose_nothing_and_send_nothing_twice(tmp_path: Path) -> None:
    engine = settings(TASK_BACKEND="celery", CELERY_BROKER_URL=REDIS)
    with Provider(latency=0.02) as provider, Site(tmp_path, **provider.postmark, **engine) as site:
        site.python(RECORD.format(count=COUNT))
        beat(site, tmp_path)
        fleet = Fleet(site, provider, machine(site), MACHINES)
        states = fleet.work_off(COUNT, KILLS)
        judged = provider.state()
        figures("Celery, kill -9", fleet, states, judged)
        fleet.stop()
        assert judged["copies"] == judged["accepted"]
        assert set(states) <= {"sent", "in_doubt"}
        assert sum(states.values()) == COUNT
        assert states["sent"] <= judged["accepted"] <= COUNT
        assert states.get("in_doubt", 0) <= len(fleet.left_sending)
        assert fleet.most_at_once <= MACHINES * CHILDREN * THREADS


@pytest.mark.parametrize("broker", [REDIS, RABBITMQ], ids=["redis", "rabbitmq"])
def test_a_broker_that_forgets_everything_costs_seconds(tmp_path: Path, broker: str) -> None:
    engine = settings(TASK_BACKEND="celery", CELERY_BROKER_URL=broker)
    with Provider(latency=0.02) as provider, Site(tmp_path, **provider.postmark, **engine) as site:
        site.python(RECORD.format(count=1000))
        if broker == REDIS:
            redis.Redis.from_url(REDIS).flushdb()  # The wake-up is gone.
        beat(site, tmp_path)
        fleet = Fleet(site, provider, machine(site), 1)
        fleet.start_all()
        site.wait_until(lambda: provider.state()["accepted"] >= 200, seconds=60)
        if broker == REDIS:
            redis.Redis.from_url(REDIS).flushdb()
        site.python(RECORD.format(count=500))
        states = site.wait_until(fleet.settled, seconds=60)
        judged = provider.state()
        figures(f"Celery on {broker.partition(':')[0]}", fleet, states, judged)
        fleet.stop()
        assert states == {"sent": 1500}
        assert judged["copies"] == judged["accepted"] == 1500
