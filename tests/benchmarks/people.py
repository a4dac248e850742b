"""An import while the provider is down, the answer to a forgotten password, and the list of very many people."""

import os
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import django

if os.environ.get("TEST_DATABASE_URL", "").startswith("sqlite"):
    del os.environ["TEST_DATABASE_URL"]  # A site makes a file of its own, a server's database otherwise.
django.setup()

import requests  # noqa: E402

from tests.endurance import reports  # noqa: E402
from tests.endurance.fleet import settings, worker  # noqa: E402
from tests.site import Site  # noqa: E402

QUICK = "--quick" in sys.argv
IMPORTED = 400 if QUICK else 10_000
ROUNDS, SAMPLES = (10, 5) if QUICK else (300, 20)
FEW, MANY = 10_000, 30_000 if QUICK else 1_000_000 if os.environ.get("TEST_DATABASE_URL") else 100_000
SUPERUSER = "from accounts.models import User\nUser.objects.create_superuser('root', 'root@example.com', 'secret')"
PAGES = {
    "the list": "",
    "its last page but one": "?p=199",
    "search": "?q=name{last}",
    "one group": "?group=1",
    "no group": "?group=none",
    "invited": "?state=invited",
    "disabled": "?state=disabled",
    "locked": "?state=locked",
    "active": "?state=active",
    "staff": "?role=staff",
    "bounced": "?address=bounced",
}
COLUMNS = (
    "id, password, is_superuser, username, first_name, last_name, is_staff, is_active, date_joined, email, language, "
    "session_epoch, link_epoch, last_login, invited_at"
)
VALUES = (
    "n, 'x', {no}, 'name' || n, 'First' || n % 1000, 'Last' || n % 7777, n % 1000 = 7, n % 50 <> 3, '{now}', "
    "'p' || n || '@example.com', 'en', 0, 0, CASE WHEN n % 3 = 0 THEN NULL ELSE '{now}' END, "
    "CASE WHEN n % 200 = 1 THEN '{now}' END"
)


class Browser:
    """Somebody who is signed in."""

    def __init__(self, url: str) -> None:
        self.url, self.session = url, requests.Session()
        self.post("/accounts/login/", {"username": "root", "password": "secret"})

    def post(self, path: str, data: dict[str, Any], **more: Any) -> requests.Response:
        page = self.session.get(self.url + path, timeout=60).text
        found = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
        assert found is not None, page[:500]
        token = {"csrfmiddlewaretoken": found.group(1)}
        answer = self.session.post(
            self.url + path, {**data, **token}, headers={"Referer": self.url}, timeout=60, **more
        )
        assert answer.status_code == 200, answer.status_code
        return answer

    def text(self, path: str) -> str:
        return self.session.get(self.url + path, timeout=60).text

    def timed(self, path: str) -> float:
        """Milliseconds until the page is there."""
        began = time.perf_counter()
        answer = self.session.get(self.url + path, timeout=60)
        assert answer.status_code == 200, (path, answer.status_code)
        return (time.perf_counter() - began) * 1000


def percentile(values: Iterable[float], part: int) -> float:
    return statistics.quantiles(values, n=100)[part - 1]


def importing(folder: Path) -> None:
    environment = settings(POSTMARK_API_URL="http://127.0.0.1:9/", POSTMARK_SERVER_TOKEN="t", EMAIL_PROVIDER="postmark")
    with Site(folder, **environment) as site:
        site.python(SUPERUSER)
        browser = Browser(reports.serve(site))
        quiet = [browser.timed("/admin/accounts/user/") for _ in range(ROUNDS)]
        worker(site, folder)()
        rows = "\n".join(f"p{n},p{n}@example.com,First{n},Last{n},en" for n in range(IMPORTED))
        content = f"username,email,first_name,last_name,language\n{rows}"
        began = time.perf_counter()
        answer = browser.post("/admin/accounts/user/import/", {}, files={"file": ("people.csv", content)})
        page, busy = answer.url.removeprefix(browser.url), []

        def state() -> str:
            busy.append(browser.timed("/admin/accounts/user/"))
            time.sleep(0.2)
            return str(site.rows("SELECT state FROM accounts_batch")[0][0])

        while state() == "checking":
            continue
        checked = time.perf_counter()
        browser.post(page, {"invite": "1"})
        while state() == "running":
            continue
        ended = time.perf_counter()
        waiting = site.rows(
            "SELECT COUNT(*) FROM emails_emaillog WHERE kind = 'invitation' "
            "AND state IN ('queued', 'claimed', 'sending', 'retrying')"
        )[0][0]
        assert site.rows("SELECT state FROM accounts_batch")[0][0] == "finished"
        assert site.rows("SELECT COUNT(*) FROM accounts_user")[0][0] == IMPORTED + 1
        assert waiting == IMPORTED, waiting
        print(
            f"import of {IMPORTED} with invitations, provider down: checked in {checked - began:.1f} s, "
            f"saved in {ended - checked:.1f} s, {waiting} invitations wait, none is lost; the list meanwhile "
            f"{statistics.median(busy):.0f} ms (p95 {percentile(busy, 95):.0f}), "
            f"without it {statistics.median(quiet):.0f} ms (p95 {percentile(quiet, 95):.0f})"
        )


def forgotten(folder: Path) -> None:
    """The same in time, interleaved, for an address that somebody has and for one that nobody has."""
    with Site(folder, EMAIL_PROVIDER="console") as site:
        site.python(SUPERUSER)
        browser = Browser(reports.serve(site))
        known: list[float] = []
        unknown: list[float] = []
        for number in range(ROUNDS):
            for address, times in (("root@example.com", known), (f"nobo{number % 10}@example.com", unknown)):
                began = time.perf_counter()
                browser.post("/accounts/password_reset/", {"email": address})
                times.append((time.perf_counter() - began) * 1000)
        ratio = statistics.median(a / b for a, b in zip(known, unknown, strict=True))
        mine, nobodys = statistics.median(known), statistics.median(unknown)
        print(f"forgotten password: known {mine:.2f} ms, unknown {nobodys:.2f} ms, ratio {ratio:.3f}, {ROUNDS} pairs")


def fill(site: Site, first: int, last: int) -> None:
    """People first … last, by the database itself."""
    values = VALUES.format(no="false", now="2026-11-01 12:00:00+00:00")
    if site.server:
        numbers = f"SELECT n FROM generate_series({first}, {last}) AS n"
        sqls = [f"INSERT INTO accounts_user ({COLUMNS}) SELECT {values} FROM ({numbers}) AS s".replace("'{", "'{")]
        sqls = [sql.replace("'2026-11-01 12:00:00+00:00'", "'2026-11-01 12:00:00+00:00'::timestamptz") for sql in sqls]
    else:
        numbers = f"WITH RECURSIVE s(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM s WHERE n < {last})"
        sqls = [f"INSERT INTO accounts_user ({COLUMNS}) {numbers} SELECT {values} FROM s"]
    sqls.append(
        "INSERT INTO accounts_user_groups (user_id, group_id) "
        f"SELECT id, 1 FROM accounts_user WHERE id BETWEEN {first} AND {last} AND id % 4 = 0"
    )
    code = f"from django.db import connection\nwith connection.cursor() as cursor:\n    for sql in {sqls!r}:\n"
    site.python(code + "        cursor.execute(sql)\n    cursor.execute('ANALYZE')")


def listing(folder: Path) -> None:
    with Site(folder, EMAIL_PROVIDER="console") as site:
        site.python(f"{SUPERUSER}\nfrom django.contrib.auth.models import Group\nGroup.objects.create(name='Readers')")
        browser = Browser(reports.serve(site))
        measured: list[dict[str, float]] = []
        for first, last in ((100, FEW), (FEW + 1, MANY)):
            fill(site, first, last)
            paths = {name: f"/admin/accounts/user/{path.format(last=last)}" for name, path in PAGES.items()}
            times = {name: [browser.timed(path) for _ in range(1 + SAMPLES)][1:] for name, path in paths.items()}
            measured.append({name: percentile(values, 95) for name, values in times.items()})
        few, many = measured
        print(f"people's list, p95 of {SAMPLES}, {FEW:,} people → {MANY:,}:")
        for name in PAGES:
            print(f"  {name:22} {few[name]:6.0f} ms → {many[name]:6.0f} ms")


def main() -> None:
    parts: tuple[Callable[[Path], None], ...] = (importing, forgotten, listing)
    for part in parts:
        with TemporaryDirectory() as folder:
            part(Path(folder))


if __name__ == "__main__":
    main()
