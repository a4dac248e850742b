from datetime import timedelta
from typing import Any

import pytest
from django.core.mail import send_mail
from django.db import DatabaseError
from django.test import Client
from django.utils import timezone

from emails.models import EmailLog


def test_healthz_touches_no_database(client: Client) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.django_db
def test_readyz_tells_how_long_mail_has_been_waiting(client: Client) -> None:
    assert client.get("/readyz").json() == {"status": "ok", "oldest_waiting_seconds": 0}
    send_mail("s", "b", None, ["a@example.com"])
    EmailLog.objects.update(run_at=timezone.now() - timedelta(minutes=5))
    assert client.get("/readyz").json()["oldest_waiting_seconds"] in range(299, 305)


@pytest.mark.django_db
def test_readyz_says_no_where_the_database_does_not_answer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: Any) -> None:
        raise DatabaseError("password=secret")

    monkeypatch.setattr("backoffice.health.MigrationExecutor", gone)
    response = client.get("/readyz")
    assert response.status_code == 503
    assert "secret" not in response.content.decode()


@pytest.mark.django_db
def test_readyz_says_no_before_migrations_are_applied(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("django.db.migrations.executor.MigrationExecutor.migration_plan", lambda *args: [1, 2])
    response = client.get("/readyz")
    assert (response.status_code, "2 migrations" in response.json()["status"]) == (503, True)


def test_probes_are_not_redirected_to_https(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/healthz").status_code == 200
    assert client.get("/admin/").status_code == 301


@pytest.mark.django_db
def test_the_root_leads_to_the_admin(client: Client) -> None:
    assert client.get("/").headers["Location"] == "/admin/"


@pytest.mark.parametrize(
    "path",
    ["/.env", "/.git/config", "/db.sqlite3", "/static/../.env", "/static/%2e%2e/.env", "/anymail/postmark/tracking/"],
)
def test_nothing_else_is_served(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404
