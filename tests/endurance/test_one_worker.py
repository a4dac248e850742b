"""One worker, shot three times in the middle: what most who try this out would do first."""

import time
from pathlib import Path

from tests.backoffice.test_worker import RECORD, postmark
from tests.esp import LoopbackESP
from tests.site import Site


def test_a_worker_killed_in_the_middle_loses_nothing_and_sends_nothing_twice(tmp_path: Path) -> None:
    concurrency, count = 4, 120
    with LoopbackESP() as esp:
        esp.fault = lambda number: time.sleep(0.03)
        settings = {"EMAIL_LEASE_SECONDS": "5", "EMAIL_CONCURRENCY": str(concurrency)}
        with Site(tmp_path, **postmark(esp.url), **settings) as site:
            site.python(RECORD.format(count=count))
            for kill in range(3):
                worker = site.start("worker")
                site.wait_until(lambda least=20 * (kill + 1): esp.requests >= least)
                worker.kill()
                worker.wait()
            site.start("worker")
            states = site.wait_until(lambda: settled(site.states()), seconds=60)
            assert states.get("sent", 0) + states.get("in_doubt", 0) == count
            assert states.get("in_doubt", 0) <= 3 * concurrency
            assert len(set(esp.refs)) == len(esp.accepted)
            assert len(esp.accepted) >= states["sent"]


def settled(states: dict[str, int]) -> dict[str, int] | None:
    return states if set(states) <= {"sent", "in_doubt"} else None
