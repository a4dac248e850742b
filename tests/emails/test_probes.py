"""What attackers try against mail and its log, by the numbers of the list of probes (S18 to S23, S39)."""

import http.client
from pathlib import Path
from typing import Any

import pytest
from anymail.message import AnymailMessage
from django.core.mail import EmailMessage, EmailMultiAlternatives
from django.test import Client

from accounts.models import User
from emails import delivery
from emails.models import EmailLog
from emails.payload import UnstorableMessage
from tests.conftest import Commit
from tests.emails.test_log_admin import reader
from tests.endurance.reports import serve
from tests.esp import LoopbackESP
from tests.log import newest
from tests.site import Site

LOG = "/admin/emails/emaillog"


@pytest.fixture
def email(esp: LoopbackESP, asleep: None, db: None) -> EmailLog:
    message = EmailMultiAlternatives("Hello", "text", to=["linus@example.com"])
    message.attach_alternative("<p>The html</p>", "text/html")
    message.attach("bill.pdf", b"%PDF", "application/pdf")
    message.send()
    return newest()


@pytest.mark.django_db
class TestThePreview:
    def test_s18_what_people_are_called_is_text_in_their_mail(self, commit: Commit) -> None:
        with commit():
            User.objects.create_user("eve", "eve@example.com", first_name="<svg onload=alert(1)>", last_name='"><base>')
        html = newest().html
        assert "<svg" not in html
        assert "<base" not in html
        assert "&lt;svg onload" in html

    @pytest.mark.parametrize("query", ["", "?images=on", "?look=dark"])
    def test_s19_its_headers_leave_nothing_to_do(self, admin_client: Client, email: EmailLog, query: str) -> None:
        headers = admin_client.get(f"{LOG}/{email.pk}/preview/{query}").headers
        policy = dict(part.strip().partition(" ")[::2] for part in headers["Content-Security-Policy"].split(";"))
        images = "data: https: http:" if "images" in query else "data:"
        assert policy == {
            "sandbox": "",
            "default-src": "'none'",
            "style-src": "'unsafe-inline'",
            "img-src": images,
            "form-action": "'none'",
            "base-uri": "'none'",
            "frame-ancestors": "'self'",
        }
        expected = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
        assert {name: headers[name] for name in expected} == expected
        assert "no-store" in headers["Cache-Control"]
        page = admin_client.get(email.get_absolute_url()).content.decode()
        assert 'sandbox="" referrerpolicy="no-referrer"' in page
        assert "srcdoc" not in page  # It would have the policy of the page around it.

    @pytest.mark.parametrize("path", ["preview/", "preview/?images=on", "message.eml", "attachments/0/"])
    def test_s21_it_needs_the_permission_and_leaves_a_trace(self, email: EmailLog, path: str) -> None:
        url = f"{LOG}/{email.pk}/{path}"
        assert Client().get(url).status_code == 302
        clerk = reader(Client(), "view_emaillog", "resend_emaillog", "export_emaillog", "control_delivery")
        assert clerk.get(url).status_code == 403
        assert not email.events.filter(type="read").exists()
        User.objects.all().delete()
        auditor = reader(Client(), "view_emaillog", "view_email_body")
        assert auditor.get(url).status_code == 200
        assert [event.detail["by"] for event in email.events.filter(type="read")] == ["grace"]


INJECTIONS = [
    "x\r\nBcc: evil@evil.example",
    "x\nBcc: evil@evil.example",
    "x\rBcc: evil@evil.example",
    "x\x00",
    "x\u2028y",
]


@pytest.mark.django_db
@pytest.mark.usefixtures("asleep")
class TestInjection:
    @pytest.mark.parametrize("text", INJECTIONS)
    @pytest.mark.parametrize("where", ["subject", "from_email", "reply_to", "header", "header name", "to", "cc", "tag"])
    def test_s22_no_header_brings_another(self, esp: LoopbackESP, where: str, text: str) -> None:
        if where == "tag" and not text.startswith("x\r\n"):
            pytest.skip("A tag is JSON for this provider, and no header.")
        to = f"Ada {text} <ada@example.com>"
        choices: dict[str, dict[str, Any]] = {
            "subject": {"subject": text},
            "from_email": {"from_email": f"{text} <me@example.com>"},
            "reply_to": {"reply_to": [f"{text} <me@example.com>"]},
            "header": {"headers": {"X-Odd": text}},
            "header name": {"headers": {f"X-{text}": "1"}},
            "to": {"to": [to]},
            "cc": {"cc": [to]},
            "tag": {"tags": [text]},
        }
        message = AnymailMessage(**{"subject": "s", "body": "b", "to": ["ada@example.com"], **choices[where]})
        if where == "tag":
            message.send()
        else:
            with pytest.raises(UnstorableMessage):
                message.send()
            assert not EmailLog.objects.exists()
        delivery.drain(seconds=5)
        assert all("evil@evil.example" not in f"{sent['To']}{sent.get('Cc')}{sent.get('Bcc')}" for sent in esp.accepted)

    @pytest.mark.parametrize("field", ["first_name", "last_name", "username", "email"])
    def test_s22_a_form_brings_none_either(
        self, admin_client: Client, commit: Commit, esp: LoopbackESP, field: str
    ) -> None:
        data = {"username": "eve", "email": "eve@example.com", "first_name": "Eve", "last_name": "E", "language": "en"}
        data[field] += "\r\nBcc: evil@evil.example"
        with commit():
            response = admin_client.post("/admin/accounts/user/add/", {**data, "is_active": "on"})
        if field in {"username", "email"}:
            assert response.context["adminform"].form.errors[field]
            assert not User.objects.filter(username__startswith="eve").exists()
        delivery.drain(seconds=5)
        for sent in esp.accepted:
            assert "evil@evil.example" not in f"{sent.get('Cc')}{sent.get('Bcc')}"
            assert "\n" not in sent["To"] + sent["Subject"]
            assert sent["To"].count("@") == 1 or '"' in sent["To"]

    @pytest.mark.parametrize(
        "address",
        [
            "no-at-sign",
            "a@[127.0.0.1",
            "ada@exam\x00ple.com",
            "x" * 10_000 + "@example.com",
            "@example.com",
            "a@",
            "a b@c d",
        ],
    )
    @pytest.mark.parametrize("field", ["to", "cc", "bcc"])
    def test_s23_what_is_no_address_is_refused_when_it_is_recorded(
        self, esp: LoopbackESP, field: str, address: str
    ) -> None:
        with pytest.raises(UnstorableMessage):
            message = EmailMessage("s", "b", to=["ada@example.com"])
            setattr(message, field, [address])
            message.send()
        assert not EmailLog.objects.exists()
        EmailMessage("s", "b", to=["ada@example.com"]).send()  # Whoever writes next is not hindered.
        delivery.drain(seconds=5)
        assert len(esp.accepted) == 1


FILES = [
    *(
        "/.env",
        "/.git/config",
        "/.git/HEAD",
        "/db.sqlite3",
        "/manage.py",
        "/backoffice/settings.py",
        "/requirements.txt",
    ),
    *("/static/../.env", "/static/%2e%2e/.env", "/static/..%2f.env", "/static/..%5c.env", "/static/%252e%252e/.env"),
    *("/static//etc/passwd", "/static/....//....//etc/passwd", "/media/x", "/media/../.env", "/debug", "/__debug__/"),
    *("/server-status", "/admin/../.env", "//.env", "/static/.env", "/static/backoffice/../../.env", "/.env.example"),
]


def test_s39_no_file_of_the_site_is_handed_out(tmp_path: Path) -> None:
    """Through the web server of production; paths as they are, which a browser would tidy up first."""
    with Site(tmp_path, **PRODUCTION) as site:
        port = int(serve(site).rpartition(":")[2])
        for path in FILES:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", path, headers={"Host": "127.0.0.1"})
            response = connection.getresponse()
            content = response.read()
            assert response.status in {301, 302, 400, 404}, path
            assert b"SECRET_KEY" not in content, path
            assert b"root:" not in content, path
            assert response.status != 302 or "/login/" in str(response.headers["Location"]), path
            connection.close()


PRODUCTION = {
    **{"DEBUG": "false", "SITE_URL": "http://127.0.0.1", "ALLOWED_HOSTS": "127.0.0.1"},
    **{"EMAIL_PROVIDER": "postmark", "POSTMARK_SERVER_TOKEN": "t", "DEFAULT_FROM_EMAIL": "a@example.com"},
    "ANYMAIL_WEBHOOK_SECRET": "user:password",
    "SECRET_KEY": "only-for-this-test-and-as-long-and-random-as-one-should-be-0123456789",
}
