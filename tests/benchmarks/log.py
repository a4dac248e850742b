"""The log's pages beside few and beside very many messages: p95 of each, through the web server.

LOG_ROWS is how many (ten million take half an hour to make): a million on PostgreSQL, 200,000 on SQLite otherwise.
"""

import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import django

if os.environ.get("TEST_DATABASE_URL", "").startswith("sqlite"):
    del os.environ["TEST_DATABASE_URL"]  # A site makes a file of its own, a server's database otherwise.
django.setup()

from emails.models import Delivery, State  # noqa: E402
from tests.benchmarks.people import SAMPLES, SUPERUSER, Browser, percentile  # noqa: E402
from tests.endurance import reports  # noqa: E402
from tests.site import Site  # noqa: E402

QUICK = "--quick" in sys.argv
FEW = 2_000 if QUICK else 10_000
USUAL = 10_000 if QUICK else 1_000_000 if os.environ.get("TEST_DATABASE_URL") else 200_000
MANY = int(os.environ.get("LOG_ROWS") or USUAL)
LIST = "/admin/emails/emaillog/"
STATUSES = dict.fromkeys([*State.values, *(value for value in Delivery.values if value)])
SEED = "from emails import seeding\nseeding.seed({count}, chance={chance})\nfrom django.db import connection\n"
ANALYZE = "with connection.cursor() as cursor:\n    cursor.execute('ANALYZE')"
# What the worker does once a day, for the days that the report is about.
COUNTED = (
    "from datetime import timedelta\nfrom emails import statistics\n"
    "statistics.ensure(statistics.today() - timedelta(days=29), statistics.today(), 50)"
)
KNOWN = "from emails.models import EmailLog\nrow = EmailLog.objects.filter(state='sent').order_by('pk')[{number}]\n"
ASKED = "answer = [row.pk, row.message_id, row.recipients.get().address]"


def pages(site: Site, count: int) -> dict[str, str]:
    pk, message_id, address = site.python(KNOWN.format(number=count // 2) + ASKED)
    return {
        "front page": "/admin/",
        "list": LIST,
        "next page": f"{LIST}?p=2",
        "deep page": f"{LIST}?p=190" if not QUICK else f"{LIST}?p=30",
        "exact address": f"{LIST}?q={address}",
        "message id": f"{LIST}?q={message_id}",
        "a word": f"{LIST}?q=invoice",
        "a word since a day": f"{LIST}?q=after:2d+invoice",
        "needs attention": f"{LIST}?status=attention",
        "one kind": f"{LIST}?kind=welcome",
        "message": f"{LIST}{pk}/change/",
        "report": "/admin/emails/emailreport/",
        **{f"status {status}": f"{LIST}?status={status}" for status in STATUSES},
    }


def main() -> None:
    measured: list[dict[str, float]] = []
    shown: list[dict[str, int]] = []
    with TemporaryDirectory() as folder, Site(Path(folder), EMAIL_PROVIDER="console") as site:
        site.python(SUPERUSER)
        browser = Browser(reports.serve(site))
        for chance, count in enumerate((FEW, MANY - FEW), 1):
            began = time.perf_counter()
            done = 0
            while done < count:  # A command ends after a minute.
                some = min(count - done, 100_000)
                site.python(SEED.format(count=some, chance=chance * 1000 + done) + ANALYZE)
                done += some
            print(f"{count:,} messages made in {time.perf_counter() - began:.0f} s", flush=True)
            site.python(COUNTED)
            paths = pages(site, count)
            times = {name: [browser.timed(path) for _ in range(1 + SAMPLES)][1:] for name, path in paths.items()}
            measured.append({name: percentile(values, 95) for name, values in times.items()})
            shown.append({name: browser.text(path).count("action-select") for name, path in paths.items()})
    few, many = measured
    print(f"the log, p95 of {SAMPLES}, {FEW:,} messages → {MANY:,}:")
    for name in few:
        before, after = (rows[name] for rows in shown)
        more = f", {before} rows of the list before, {after} now" if before != after else ""
        print(f"  {name:20} {few[name]:6.0f} ms → {many[name]:6.0f} ms ({many[name] / few[name]:.2f}×{more})")


if __name__ == "__main__":
    main()
