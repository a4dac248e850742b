"""Many reports about few messages at once, while they are being sent: none is lost, and nobody waits for ever."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import UUID

import requests

from tests.endurance import reports
from tests.endurance.fleet import RECORD, Fleet, settings, worker
from tests.provider import Provider
from tests.site import Site

MESSAGES, OPENS = 20, 15


def test_reports_at_once_about_one_message_are_all_counted(tmp_path: Path) -> None:
    heard = settings(ANYMAIL_WEBHOOK_SECRET=":".join(reports.SECRET))
    with Provider(latency=0.2) as provider, Site(tmp_path, **provider.postmark, **heard) as site:
        site.python(RECORD.format(count=MESSAGES))
        url = reports.serve(site)
        refs = [str(UUID(str(ref))) for (ref,) in site.rows("SELECT ref FROM emails_emaillog")]
        told = [event(ref, number) for ref in refs for number in range(OPENS)] * 2
        random.Random(5).shuffle(told)
        fleet = Fleet(site, provider, worker(site, tmp_path), 2)
        fleet.start_all()  # The worker fences and settles the very rows that are reported about.
        with ThreadPoolExecutor(8) as pool:
            statuses = list(pool.map(lambda said: post(url, said), told))
        states = site.wait_until(fleet.settled)
        fleet.stop()
        assert states == {"sent": MESSAGES}
        assert provider.state()["copies"] == MESSAGES
        # 503 where the database turned one of two away: the provider comes again.
        again = [said for said, status in zip(told, statuses, strict=True) if status == 503]
        assert set(statuses) <= {200, 503}
        assert {post(url, said) for said in again} <= {200}
        print(f"\n{len(told)} reports over 8 connections, {len(again)} to come again", flush=True)
        assert set(site.rows("SELECT open_count FROM emails_emailrecipient")) == {(OPENS,)}
        assert site.rows("SELECT COUNT(*) FROM emails_emailevent WHERE reported")[0] == (MESSAGES * OPENS,)
        assert "Traceback" not in site.output.read_text()


def event(ref: str, number: int) -> dict[str, Any]:
    when = f"2026-11-24T12:00:{number:02}Z"
    return {"RecordType": "Open", "ReceivedAt": when, "MessageID": "m", "Recipient": None, "Metadata": {"ref": ref}}


def post(url: str, said: dict[str, Any]) -> int:
    answer = requests.post(f"{url}/anymail/postmark/tracking/", json=said, auth=reports.SECRET, timeout=30)
    return answer.status_code
