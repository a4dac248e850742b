"""The documents say what the code does: variables, commands, files and kinds are compared with it."""

import re
from pathlib import Path

import pytest

from accounts.emails import ACCOUNT_EMAILS
from emails.profile import Provider
from emails.providers import PROVIDERS
from tests import documents

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
EXAMPLE = (ROOT / ".env.example").read_text()
SETTINGS = (ROOT / "backoffice" / "settings.py").read_text()


def read_by_settings() -> set[str]:
    calls = re.findall(
        r"""env\.(?:text|boolean|integer|number|address|names|choice|url|database|sender|time_zone|broker|patterns)\(\s*["']([A-Z_]+)["']""",
        SETTINGS,
    )
    return {*calls, "ENV_FILE"}


def documented() -> set[str]:
    return set(re.findall(r"^# ([A-Z][A-Z_]+)=", EXAMPLE, re.MULTILINE))


def test_every_variable_is_in_the_example() -> None:
    assert read_by_settings() <= documented()


def test_every_variable_of_the_example_is_read() -> None:
    prefixes = tuple(provider.prefix for provider in PROVIDERS.values() if provider.prefix)
    unknown = {name for name in documented() - read_by_settings() if not name.startswith((*prefixes, "ANYMAIL_"))}
    assert unknown == set()


def test_every_line_of_the_example_is_a_comment_so_that_a_copy_changes_nothing() -> None:
    assert all(line.startswith("#") for line in EXAMPLE.splitlines() if line)


def test_every_variable_is_in_the_readme() -> None:
    for name in read_by_settings():
        assert f"`{name}`" in README, name


@pytest.mark.parametrize("provider", list(PROVIDERS.values()), ids=lambda provider: provider.key)
def test_every_provider_is_documented(provider: Provider) -> None:
    assert documents.row(provider) in README
    for variable in provider.variables:
        assert f"# {variable.name}=" in EXAMPLE, variable.name


def test_the_example_names_every_variable_and_where_it_is_found() -> None:
    assert documents.provider_variables() in EXAMPLE


def test_every_command_and_make_target_is_in_the_readme() -> None:
    for path in ROOT.glob("*/management/commands/*.py"):
        if path.stem != "__init__":
            assert f"`manage.py {path.stem}" in README, path.stem
    for target in re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE):
        assert f"`make {target}" in README, target


def test_the_readme_names_every_stage_of_an_email() -> None:
    for path in re.findall(r"`((?:accounts|emails|backoffice)/[\w/]+\.py)`", README):
        assert (ROOT / path).is_file(), path
    for package in ("accounts", "emails"):
        for path in (ROOT / package).glob("*.py"):
            if path.name != "__init__.py":
                assert f"{package}/{path.name}" in README, path.name


def test_the_readme_lists_every_kind() -> None:
    for kind in ACCOUNT_EMAILS:
        assert f"| `{kind.key}` |" in README, kind.key


def test_links_and_pictures_of_the_readme_exist() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_the_readme_starts_with_the_two_commands() -> None:
    commands = re.findall(r"^make \w+", README, re.MULTILINE)
    assert commands[:2] == ["make run", "make test"]
