"""Many workers on one queue, killed at random; the provider's own process is the judge of what was accepted."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.provider import Provider
from tests.site import ROOT, Site

RECORD = """
from django.core.mail import EmailMultiAlternatives
from emails.recording import record
messages = []
for n in range({count}):
    message = EmailMultiAlternatives(f"Subject {{n}}", "The text", None, [f"p{{n}}@example.com"])
    message.attach_alternative("<p>" + "Hello. " * 300, "text/html")
    messages.append(message)
for start in range(0, {count}, 500):
    record(messages[start:start + 500])
"""


class Fleet:
    """`start` starts one worker; all of them are killed and started anew as the queue is worked off."""

    def __init__(self, site: Site, provider: Provider, start: Callable[[], Any], workers: int) -> None:
        self.site, self.provider, self.start, self.workers = site, provider, start, workers
        self.processes: list[Any] = []
        self.most_at_once = 0  # Of them, at one kill.
        self.left_sending: set[int] = set()  # Messages that were `sending` when their worker was killed.

    def kill_all(self) -> None:
        for process in self.processes:
            # The whole group: Celery's children, a supervisor's workers.
            os.killpg(process.pid, signal.SIGKILL)
        for process in self.processes:
            process.wait()
        self.processes = []
        # PostgreSQL may still be committing what they sent last; seen too early, it would be counted at the next kill.
        self.site.wait_until(lambda: not self.site.sessions())
        left = self.site.numbers("sending") - self.left_sending
        self.most_at_once = max(self.most_at_once, len(left))
        self.left_sending |= left

    def start_all(self) -> None:
        self.processes = [self.start() for _ in range(self.workers)]

    def work_off(self, count: int, kills: int, seed: int = 1, seconds: float = 240) -> dict[str, int]:
        """Deliver `count` messages, with all workers killed `kills` times on the way; returns the states at the end."""
        chance = random.Random(seed)
        self.start_all()
        for kill in range(kills):
            goal = count * (kill + chance.random()) / (kills + 1)
            self.site.wait_until(lambda goal=goal: self.provider.state()["accepted"] >= goal, seconds=seconds)
            time.sleep(chance.uniform(0, 0.05))
            self.kill_all()
            self.start_all()
        states: dict[str, int] = self.site.wait_until(self.settled, seconds=seconds)
        return states

    def settled(self) -> dict[str, int] | None:
        states = self.site.states()
        return None if set(states) & {"queued", "claimed", "sending", "retrying"} else states

    def stop(self) -> None:
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            process.wait(timeout=60)


def worker(site: Site, folder: Path, *arguments: str) -> Callable[[], "subprocess.Popen[bytes]"]:
    """Starts `manage.py worker` in a session of its own, in `folder`."""

    def start() -> "subprocess.Popen[bytes]":
        with site.output.open("ab") as output:
            command = [sys.executable, str(ROOT / "manage.py"), "worker", "--processes=1", *arguments]
            process = subprocess.Popen(
                command, env=site.environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
            )
        site.processes.append(process)
        return process

    return start


def settings(**more: str) -> dict[str, str]:
    return {"EMAIL_CONCURRENCY": "8", "EMAIL_LEASE_SECONDS": "5", "EMAIL_TIMEOUT": "3", **more}


def figures(name: str, fleet: Fleet, states: dict[str, int], judged: dict[str, Any]) -> None:
    """For the closing note and whoever reads CI's output."""
    print(
        f"\n{name}: {states}, accepted {judged['accepted']}, copies {judged['copies']}, "
        f"requests {judged['requests']}, in flight at the kills {len(fleet.left_sending)}"
    )
