"""The operator's commands: is email set up, does it arrive, does the webhook hear; with real processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.backoffice.test_start import start
from tests.esp import LoopbackESP
from tests.site import ROOT, Site, answers
from tests.webhooks import environment, private_half

MANAGE = str(ROOT / "manage.py")


@pytest.fixture
def esp() -> Iterator[LoopbackESP]:
    with LoopbackESP() as server:
        yield server


def settings_of(esp: LoopbackESP, port: int) -> dict[str, str]:
    return {**environment("postmark", esp.url), "SITE_URL": f"http://127.0.0.1:{port}", "DEBUG": "true"}


def test_from_the_first_line_to_the_first_report(esp: LoopbackESP, tmp_path: Path, port: int) -> None:
    with Site(tmp_path, **settings_of(esp, port)) as site:
        done = site.manage("check_email")
        ticks = [line[:1] for line in done.stdout.splitlines() if not line.startswith("  ")]
        assert ticks == ["✓", "✓", "✓", "!", "✓"]  # the sender's domain is an example
        assert f"http://USER:PASSWORD@127.0.0.1:{port}/anymail/postmark/tracking/" in done.stdout

        alone = site.manage("check_email", "--send", "linus@example.com", "--patience", "1", check=False)
        assert alone.returncode == 1
        assert "Next: nobody delivers. Start manage.py worker" in alone.stderr

        site.start("worker", "--processes=1")
        site.start("runserver", f"127.0.0.1:{port}", "--noreload")
        site.wait_until(lambda: answers(f"http://127.0.0.1:{port}/healthz"))
        site.wait_until(lambda: site.rows("SELECT name FROM emails_worker"))
        silent = site.manage("check_email", "--send", "ada@example.com", "--patience", "1", check=False)
        assert silent.returncode == 1
        assert "✓ accepted by postmark as pm-" in silent.stdout
        assert f"http://127.0.0.1:{port}/admin/emails/emaillog/" in silent.stdout
        assert "Next: no report came. Paste" in silent.stderr

        ((number,),) = site.rows(
            "SELECT email_id FROM emails_emailrecipient WHERE address = 'ada@example.com' ORDER BY id DESC LIMIT 1"
        )
        replayed = site.manage("replay_webhook", str(number), "--event", "bounced")
        assert "Postmark reported bounced: the message is bounced now." in replayed.stdout
        assert site.rows("SELECT address FROM emails_suppression") == [("ada@example.com",)]
        trying = site.start("check_email", "--send", "Eve <eve@example.com>", "--patience", "20")
        new = "SELECT email_id FROM emails_emailrecipient JOIN emails_emaillog ON email_id = emails_emaillog.id"
        ((number,),) = site.wait_until(lambda: site.rows(f"{new} WHERE address = 'eve@example.com' AND state = 'sent'"))
        site.manage("replay_webhook", str(number))
        assert trying.wait(timeout=20) == 0
        assert "✓ reported: delivered" in site.output.read_text()
        refused = site.manage("check_email", "--send", "ada@example.com", "--patience", "1", check=False)
        assert "Next: it is suppressed." in refused.stderr


def test_what_is_wrong_is_the_one_next_step() -> None:
    done = start(MANAGE, "check_email", EMAIL_PROVIDER="mailgun")
    assert done.returncode == 1
    assert "✕ credentials: Set MAILGUN_API_KEY" in done.stdout
    assert done.stderr.strip().splitlines()[-1].startswith("CommandError: Next: At Mailgun: Send → Sending keys")
    assert "Traceback" not in done.stderr


def test_an_address_that_is_none_is_a_next_step_too() -> None:
    done = start(MANAGE, "check_email", POSTMARK_API_URL="foo")
    assert done.returncode == 1
    assert "✕ credentials: POSTMARK_API_URL is not an absolute URL." in done.stdout


def test_a_report_signed_with_a_key_of_ones_own(tmp_path: Path, port: int) -> None:
    site_url = f"http://127.0.0.1:{port}"
    with Site(tmp_path, **environment("postal"), DEBUG="true", SITE_URL=site_url) as site:
        site.manage("sendtestemail", "linus@example.com")
        nobody = site.manage("replay_webhook", "1", "--private-key", str(private_half("postal")), check=False)
        assert f"Nobody answers at {site_url}/anymail/postal/tracking/" in nobody.stderr
        site.start("runserver", f"127.0.0.1:{port}", "--noreload")
        site.wait_until(lambda: answers(f"{site_url}/healthz"))
        without = site.manage("replay_webhook", "1", check=False)
        assert "make a pair of your own" in without.stderr
        replayed = site.manage("replay_webhook", "1", "--private-key", str(private_half("postal")))
        assert "reported delivered" in replayed.stdout
        assert "There is no message 99" in site.manage("replay_webhook", "99", check=False).stderr
