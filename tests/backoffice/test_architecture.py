"""The house: arrows point one way, files stay small, and nothing is imported where it is used."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCES = [
    path
    for package in ("backoffice", "accounts", "emails")
    for path in sorted((ROOT / package).rglob("*.py"))
    if "migrations" not in path.parts
]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize(("package", "above"), [("emails", {"accounts", "backoffice"}), ("accounts", {"backoffice"})])
def test_no_package_imports_upward(package: str, above: set[str]) -> None:
    for path in SOURCES:
        if path.is_relative_to(ROOT / package):
            assert not imports(path) & above, path


def test_no_file_of_emails_mentions_accounts() -> None:
    for path in SOURCES:
        if path.is_relative_to(ROOT / "emails"):
            assert not re.search(r"\baccounts\b", path.read_text()), path


def test_no_file_is_large_and_none_has_a_name_that_says_nothing() -> None:
    sizes = sorted(len(path.read_text().splitlines()) for path in SOURCES)
    assert sizes[-1] <= 250
    assert not {path.stem for path in SOURCES} & {"utils", "util", "helpers", "services", "common", "base", "misc"}


def test_nothing_is_imported_inside_a_function() -> None:
    for path in SOURCES:
        if path.name == "apps.py":
            continue  # Models can't be imported before the apps are ready.
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                lazy = [node for node in ast.walk(function) if isinstance(node, ast.Import | ast.ImportFrom)]
                assert not lazy, f"{path}:{function.lineno}"


def test_no_file_carries_the_address_of_a_package_index() -> None:
    hosts = "|".join(["files.python" + "hosted", "py" + "pi.org", "registry.npm" + "js", "deb.debi" + "an.org"])
    tracked = subprocess.run(["git", "grep", "-lIE", hosts], cwd=ROOT, capture_output=True, text=True, check=False)
    assert tracked.stdout == ""
