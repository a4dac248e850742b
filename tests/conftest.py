from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import django
import pytest
from django.contrib.contenttypes.management import create_contenttypes
from django.core.cache import cache
from django.core.management.commands import flush
from django.db.models.signals import post_migrate
from django.utils import translation

from accounts.models import User
from emails import tasks
from emails.admin.front import BANNER
from tests.esp import LoopbackESP
from tests.sink import SMTPSink, free_port

Commit = Callable[[], AbstractContextManager[Any]]


@pytest.fixture(scope="session", autouse=True)
def quick_flush(django_db_setup: None) -> Iterator[None]:
    """Tests with transactions of their own flush after each: what Django makes anew then, permissions, stays instead.

    It takes fifteen times as long as the flush itself.
    """
    kept = {"django_content_type", "auth_permission"}

    def sql_flush(style: Any, connection: Any, **options: Any) -> list[str]:
        tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
        return list(connection.ops.sql_flush(style, sorted(set(tables) - kept), **options))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", sql_flush)
        post_migrate.disconnect(dispatch_uid="django.contrib.auth.management.create_permissions")
        post_migrate.disconnect(create_contenttypes)
        yield


@pytest.fixture(autouse=True)
def english() -> Iterator[None]:
    """A request leaves its language active in the thread, as a worker's thread does until the next request."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def no_banner() -> Iterator[None]:
    """What is looked up once a minute is known: else whichever test comes first in a minute would pay for it."""
    cache.clear()
    cache.set(BANNER, [], 3600)
    yield
    cache.clear()


@pytest.fixture(autouse=True)
def recorder(settings: Any) -> None:
    """The test runner puts an in-memory mailer in place of ours; put ours back."""
    if django.VERSION >= (6, 1):
        settings.MAILERS = {"default": {"BACKEND": settings.RECORDER}}
    else:
        settings.EMAIL_BACKEND = settings.RECORDER


@pytest.fixture
def asleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """No task is enqueued: nobody but the test delivers."""
    monkeypatch.setattr(type(tasks.deliver), "enqueue", lambda *args, **kwargs: None)


@pytest.fixture
def commit(db: None, django_capture_on_commit_callbacks: Any) -> Commit:
    """`with commit():` is one transaction within the test's own: it ends with its on_commit hooks run."""
    return partial(django_capture_on_commit_callbacks, execute=True)


@pytest.fixture
def ada(commit: Commit) -> User:
    """A superuser who works in the admin."""
    with commit():
        return User.objects.create_superuser("ada", "ada@example.com", "secret", first_name="Ada", last_name="Lovelace")


@pytest.fixture
def linus(commit: Commit) -> User:
    """A person without any access."""
    with commit():
        return User.objects.create_user("linus", "linus@example.com", "secret", first_name="Linus", last_name="Ahlberg")


@pytest.fixture
def esp(settings: Any) -> Iterator[LoopbackESP]:
    """A loopback server that speaks Postmark's API, chosen as the provider."""
    with LoopbackESP() as server:
        settings.EMAILS = {**settings.EMAILS, "PROVIDER": "postmark", "OPTIONS": {}}
        settings.ANYMAIL = {"POSTMARK_SERVER_TOKEN": "token", "POSTMARK_API_URL": server.url, "REQUESTS_TIMEOUT": 3}
        yield server


@pytest.fixture
def sink(settings: Any) -> Iterator[SMTPSink]:
    """A loopback SMTP server, chosen as the provider."""
    with SMTPSink() as server:
        options = {"host": "127.0.0.1", "port": server.port, "timeout": 3}
        settings.EMAILS = {**settings.EMAILS, "PROVIDER": "smtp", "OPTIONS": options}
        yield server


@pytest.fixture
def port() -> int:
    """A port on which nobody listens."""
    return free_port()
