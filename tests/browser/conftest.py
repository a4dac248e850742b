"""A real Chromium on a real site: `manage.py run` on a database of its own, with each kind of provider."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser.visitor import follow
from tests.esp import LoopbackESP
from tests.sink import SMTPSink, free_port
from tests.site import Site, answers

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"]
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield launched
        launched.close()


class RunningSite(Site):
    """The demo, running, with its admin's password; or, with `demo` off, an admin alone."""

    demo = True

    def __enter__(self) -> "RunningSite":
        super().__enter__()
        self.port = int(self.environment["PORT"])
        self.url = f"http://127.0.0.1:{self.port}"
        if self.demo:
            shown = self.manage("demo").stdout
            match = re.search(r"with the password (\S+)", shown)
            assert match is not None, shown
            self.password = match.group(1)
        else:
            self.password = "a password"
            create = "from accounts.models import User; User.objects.create_superuser"
            self.python(f"{create}('admin', 'admin@example.com', {self.password!r})")
        self.running = self.start("run", "--port", str(self.port))
        self.wait_until(lambda: answers(f"{self.url}/readyz"))
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.running.terminate()
        self.running.wait(timeout=20)
        super().__exit__(*exc_info)

    def sign_in(self, page: Page) -> Page:
        page.goto(f"{self.url}/admin/")
        page.fill("#id_username", "admin")
        page.fill("#id_password", self.password)
        follow(page.locator("[type=submit]"))
        page.wait_for_selector("#user-tools")
        return page


@pytest.fixture(scope="module")
def console_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSite]:
    with RunningSite(tmp_path_factory.mktemp("console"), PORT=str(free_port())) as site:
        yield site


@pytest.fixture
def esp_site(tmp_path: Path) -> Iterator[tuple[RunningSite, LoopbackESP]]:
    with LoopbackESP() as esp:
        provider = {"EMAIL_PROVIDER": "postmark", "POSTMARK_SERVER_TOKEN": "t", "POSTMARK_API_URL": esp.url}
        provider["ANYMAIL_WEBHOOK_SECRET"] = "user:password"
        with RunningSite(tmp_path, PORT=str(free_port()), **provider) as site:
            yield site, esp


@pytest.fixture
def redirected_site(tmp_path: Path) -> Iterator[RunningSite]:
    with RunningSite(tmp_path, PORT=str(free_port()), EMAIL_REDIRECT_TO="staging@example.org") as site:
        yield site


@pytest.fixture
def smtp_site(tmp_path: Path) -> Iterator[tuple[RunningSite, SMTPSink]]:
    with SMTPSink() as sink:
        provider = {"EMAIL_PROVIDER": "smtp", "EMAIL_HOST": "127.0.0.1", "EMAIL_PORT": str(sink.port)}
        with RunningSite(tmp_path, PORT=str(free_port()), **provider) as site:
            yield site, sink
