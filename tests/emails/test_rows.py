"""Many rows in one statement: each value arrives as it would alone."""

import json
from datetime import UTC
from typing import Any

import pytest
from django.utils.safestring import SafeString
from hypothesis import example, given
from hypothesis import strategies as st

from emails.models import State
from emails.rows import as_json, plain

VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.text(), st.sampled_from(State), st.uuids()),
    *(st.datetimes(timezones=st.just(UTC)), st.text().map(SafeString)),
)
DATA = st.dictionaries(
    st.text(), st.one_of(st.none(), st.text(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))
)


@given(st.lists(st.tuples(VALUES, VALUES, DATA), max_size=3))
@example([("a\x00b", "\ud800", {"x": "\udfff"}), ("b", "c", {})])
def test_many_rows_are_written_as_pythons_json_would_write_them(rows: list[tuple[Any, Any, Any]]) -> None:
    names = ["one", "two", "data"]
    plainly = json.dumps([dict(zip(names, row, strict=True)) for row in rows], default=plain)
    assert json.loads(as_json(rows, names, ["data"])) == json.loads(plainly)


def test_a_number_that_is_none_is_refused_rather_than_dropped() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        as_json([(1, {"x": float("nan")})], ["id", "data"], ["data"])
