"""An import with invitations, the provider down, the worker killed: nothing is lost, nothing comes twice."""

import os
import signal
from collections import Counter
from pathlib import Path

from tests.endurance.fleet import Fleet, settings, worker
from tests.provider import Provider
from tests.sink import free_port
from tests.site import Site

COUNT = 400
BEGIN = """
from accounts import batches, importing
from accounts.models import User
root = User.objects.create_superuser("root", "root@example.com", language="en")
columns = ("username", "email", "first_name")
names = [f"p{{n}}" for n in range({count})]
rows = [dict(zip(columns, (p, f"{{p}}@example.com", p)), **{{"#": str(n + 2)}}) for n, p in enumerate(names)]
importing.begin(rows, root, "test")
batches.wake()
"""
CONFIRM = """
from accounts import batches, importing
from accounts.models import Batch
answer = importing.confirm(Batch.objects.get(), invite=True, unticked=[])
batches.wake()
"""


def test_nobody_is_lost_and_nobody_is_invited_twice(tmp_path: Path) -> None:
    port = free_port()
    provider_down = {"EMAIL_PROVIDER": "postmark", "POSTMARK_SERVER_TOKEN": "t"}
    where = f"http://127.0.0.1:{port}/"
    with Site(tmp_path, **settings(**provider_down, POSTMARK_API_URL=where, EMAIL_TIMEOUT="2")) as site:
        site.python(BEGIN.format(count=COUNT))
        start = worker(site, tmp_path)
        process = start()

        def batch() -> tuple[str, int]:
            return tuple(site.rows("SELECT state, done FROM accounts_batch")[0])  # type: ignore[return-value]

        site.wait_until(lambda: batch()[0] == "ready", seconds=240)
        assert site.rows("SELECT COUNT(*) FROM accounts_user")[0][0] == 1  # Checked, and not saved.
        assert site.python(CONFIRM)
        site.wait_until(lambda: batch()[0] != "running" or batch()[1] >= COUNT // 2, seconds=120)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process = start()
        site.wait_until(lambda: batch()[0] == "finished", seconds=240)
        assert site.rows("SELECT COUNT(*) FROM accounts_user")[0][0] == COUNT + 1
        invited = "SELECT state, COUNT(*) FROM emails_emaillog WHERE kind = 'invitation' GROUP BY state"
        waiting = dict(site.rows(invited))
        assert sum(waiting.values()) == COUNT
        assert set(waiting) <= {"queued", "claimed", "sending", "retrying", "in_doubt"}
        with Provider(port=port) as provider:
            fleet = Fleet(site, provider, start, 1)
            fleet.processes = [process]
            site.wait_until(fleet.settled, seconds=240)
            judged = provider.state()
            fleet.stop()
        ended = Counter(dict(site.rows(invited)))
        print(f"\nimport, provider down, a kill: {waiting} while it was down, {dict(ended)} in the end")
        assert set(ended) <= {"sent", "in_doubt"}
        assert judged["copies"] == judged["accepted"]
        assert ended["sent"] <= judged["accepted"]
