"""Every account email, from the one list of them: both parts, any language, any name."""

from html.parser import HTMLParser
from typing import Any

import pytest
from django.template import engines
from django.template.loader import get_template
from django.utils import translation

from accounts.emails import ACCOUNT_EMAILS
from accounts.samples import EXTRA
from accounts.values import VISIBLE, masked
from accounts.writing import context, greeting, tell, user_label
from emails.facts import Facts
from emails.kinds import EmailKind
from emails.rendering import render
from tests.conftest import Commit

VALUES: dict[str, Any] = {
    "pk": 1,
    "username": "mei",
    "first_name": "Mei",
    "last_name": "Tanaka",
    "email": "mei@example.com",
    "language": "en",
    "is_staff": True,
}
CHANGES: dict[str, list[Any]] = {
    "first_name": ["", "Mei"],
    "email": ["old@example.com", "mei@example.com"],
    "groups": [[], ["Editors"]],
    "is_staff": [False, True],
    "is_active": [True, False],
    "password": ["set", "changed"],
}
ANY = pytest.mark.parametrize("kind", ACCOUNT_EMAILS, ids=lambda kind: kind.key)


def message(kind: EmailKind, **differences: Any) -> Any:
    values = {**VALUES, **differences}
    return render(
        kind,
        to=values["email"],
        name=f"{values['first_name']} {values['last_name']}",
        language=values["language"],
        context={**context(values, CHANGES), **EXTRA, "added": True},
        facts=Facts(),
    )


class Page(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += attrs


@ANY
@pytest.mark.parametrize("language", ["en", "de"])
def test_it_has_a_subject_a_text_and_html_within_the_limits(kind: EmailKind, language: str) -> None:
    mail = message(kind, language=language)
    html = mail.alternatives[0][0]
    assert mail.subject
    assert "\n" not in mail.subject
    assert len(mail.subject) <= 78
    assert mail.body.strip()
    assert mail.subject not in mail.body.splitlines()[:1]
    assert len(html.encode()) < 60_000  # Gmail clips at 102 KB
    assert "{{" not in html + mail.body
    assert "{%" not in html + mail.body
    assert f'lang="{language}"' in html


@ANY
def test_its_html_needs_nothing_from_elsewhere_and_works_in_the_dark(kind: EmailKind) -> None:
    html = message(kind).alternatives[0][0]
    page = Page(html)
    assert page.tags.count("h1") == 1
    assert not {"script", "link", "iframe", "form", "img"} & set(page.tags)
    assert ("role", "presentation") in page.attributes
    assert "@media (prefers-color-scheme: dark)" in html
    assert 'style="' in html
    links = [value for name, value in page.attributes if name == "href"]
    assert links
    assert all(link and link.startswith("https://backoffice.example.com") for link in links)


@ANY
def test_no_variable_is_missing(kind: EmailKind, settings: Any) -> None:
    options = settings.TEMPLATES[0]["OPTIONS"] | {"string_if_invalid": "MISSING %s"}
    settings.TEMPLATES = [settings.TEMPLATES[0] | {"OPTIONS": options}]
    assert engines.all()
    mail = message(kind)
    assert "MISSING" not in mail.subject + mail.body + mail.alternatives[0][0]


@ANY
def test_a_language_that_is_written_from_the_right_is_marked_so(kind: EmailKind, settings: Any) -> None:
    settings.LANGUAGES = [*settings.LANGUAGES, ("ar", "Arabic")]
    assert 'dir="rtl"' in message(kind, language="ar").alternatives[0][0]
    assert translation.get_language() == "en"


def test_german_people_read_german() -> None:
    welcome = next(kind for kind in ACCOUNT_EMAILS if kind.key == "welcome")
    mail = message(welcome, language="de")
    assert mail.subject == "Willkommen: Für Sie wurde ein Konto angelegt"
    assert "Guten Tag" in mail.body


def test_an_unknown_language_falls_back_to_the_projects() -> None:
    assert 'lang="en"' in message(ACCOUNT_EMAILS[0], language="xx").alternatives[0][0]


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "{{ settings.SECRET_KEY }}",
        "{% load x %}",
        '"><img src=x onerror=alert(1)>',
        "Mei\r\nBcc: victim@example.com",
        "\u202egnp.exe",
        'O\'Brien, "Sons" & Co; <x@evil.example>',
        "\x00\x01\x1b",
        "名前 " * 30,
        "a" * 150,
    ],
)
@ANY
def test_a_name_is_data_and_never_markup(kind: EmailKind, name: str) -> None:
    mail = message(kind, first_name=name, username=name)
    html = mail.alternatives[0][0]
    assert "<script" not in html
    assert "onerror" not in html or "&lt;img" in html
    assert "\n" not in mail.subject + mail.to[0]
    assert "\x00" not in mail.subject + mail.to[0] + mail.body + html
    assert "\u202e" not in mail.subject + mail.to[0] + mail.body + html
    assert len(mail.to[0].encode()) <= 320
    assert mail.message()["To"]


@pytest.mark.parametrize("name", ["visit https://evil.example", "www.evil.example", "evil.example", "a@b"])
def test_a_name_that_looks_like_a_link_greets_nobody(name: str) -> None:
    assert greeting({**VALUES, "first_name": name, "last_name": ""}) == ""


@ANY
def test_every_email_has_both_templates(kind: EmailKind) -> None:
    for ending in ("txt", "html"):
        get_template(f"{kind.templates}/{kind.key}.{ending}")


def test_passwords_are_never_among_the_changes() -> None:
    assert masked("password", "md5$a$b", "md5$c$d") == ["set", "changed"]
    assert "password" in VISIBLE


def test_what_staff_type_breaks_no_queue(commit: Commit, db: None) -> None:
    names = ["\r\nBcc: x@evil.example", "a" * 150, '"', "<>", "@", "\\", "名前", "\u0085\u2028"]
    with commit():
        states = [
            tell(kind, {**VALUES, "pk": None, "first_name": name}, enabled={kind.key}).state
            for kind in ACCOUNT_EMAILS
            for name in names
        ]
    assert set(states) == {"queued"}


def test_the_log_names_people_by_name_and_username() -> None:
    assert user_label(VALUES) == "Mei Tanaka (mei)"
    assert user_label({**VALUES, "first_name": "", "last_name": ""}) == "mei"
