"""What reports come to: the same for any order and any repetition; checked against the rules put another way."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emails.fold import Told, fold, overall, proves_acceptance, proves_refusal
from emails.models import Delivery
from tests.examples import examples

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
TYPES = (
    *("queued", "sent", "deferred", "delivered", "bounced", "rejected", "failed", "opened", "clicked"),
    *("complained", "unsubscribed", "autoresponded", "subscribed"),
)
times = st.one_of(st.none(), st.integers(0, 4).map(lambda minutes: NOON + timedelta(minutes=minutes)))
reports = st.lists(st.tuples(st.sampled_from(TYPES), times), max_size=8).map(
    lambda told: [Told(kind, at, f"key-{n}") for n, (kind, at) in enumerate(told)]
)


def told(*kinds: str) -> list[Told]:
    """One report a minute."""
    return [Told(kind, NOON + timedelta(minutes=n), f"{n}") for n, kind in enumerate(kinds)]


@settings(max_examples=examples(300, 10_000), deadline=None)
@given(st.data(), reports)
def test_neither_order_nor_repetition_matters(data: st.DataObject, reported: list[Told]) -> None:
    again = data.draw(st.lists(st.sampled_from(reported), max_size=6)) if reported else []
    shuffled = data.draw(st.permutations([*reported, *again]))
    assert fold(shuffled) == fold(reported)


@settings(max_examples=examples(200, 2000), deadline=None)
@given(reports)
def test_it_says_what_the_rules_say(reported: list[Told]) -> None:
    fate = fold(reported)
    kinds = [report.type for report in reported]
    terminal = [r for r in reported if r.type in {"delivered", "bounced", "rejected", "failed"}]
    if "complained" in kinds:
        assert fate.delivery == "complained"
    elif terminal:
        decided = [r for r in terminal if r.type == fate.delivery]
        latest = max((r.at for r in terminal if r.at), default=None)
        assert latest in {r.at for r in decided}
        at_once = {r.type for r in terminal if r.at == latest}
        worst = next(kind for kind in ("bounced", "rejected", "failed", "delivered") if kind in at_once)
        assert fate.delivery == worst
    else:
        assert fate.delivery == ("deferred" if "deferred" in kinds else "")
    assert (fate.open_count, fate.click_count) == (kinds.count("opened"), kinds.count("clicked"))
    dated = [r.at for r in reported if r.type == "opened" and r.at]
    assert (fate.first_opened_at, fate.last_opened_at) == (min(dated, default=None), max(dated, default=None))


@pytest.mark.parametrize(
    ("kinds", "delivery"),
    [
        ([], ""),
        (["queued", "sent"], ""),
        (["deferred"], "deferred"),
        (["deferred", "delivered"], "delivered"),
        (["delivered", "deferred"], "delivered"),
        (["bounced", "delivered"], "delivered"),  # several providers call a soft bounce so
        (["delivered", "bounced"], "bounced"),  # out of band
        (["complained", "delivered"], "complained"),
        (["opened", "clicked"], ""),  # these change no state
    ],
)
def test_the_last_word_stands_but_for_a_complaint(kinds: list[str], delivery: str) -> None:
    assert fold(told(*kinds)).delivery == delivery


def test_at_the_same_moment_the_worst_stands() -> None:
    together = [Told("delivered", NOON, "a"), Told("bounced", NOON, "b"), Told("failed", NOON, "c")]
    assert fold(together).delivery == "bounced"
    assert fold([Told("bounced", None, "a"), Told("delivered", NOON, "b")]).delivery == "delivered"


@pytest.mark.parametrize(
    ("deliveries", "each", "all_in_all"),
    [
        ([], True, ""),
        (["delivered", "delivered"], True, "delivered"),
        (["delivered", ""], True, ""),  # the second may still come
        (["delivered", ""], False, "delivered"),  # nothing will ever come for the second
        (["delivered", "deferred"], True, "deferred"),
        (["delivered", "bounced", "failed"], True, "bounced"),
        (["bounced", "complained"], True, "complained"),
    ],
)
def test_the_worst_fate_of_several_recipients_is_the_messages(
    deliveries: list[str], each: bool, all_in_all: str
) -> None:
    assert overall(deliveries, each_reported=each) == Delivery(all_in_all)


def test_only_what_was_taken_can_be_reported_so() -> None:
    assert proves_acceptance(["opened"])
    assert not proves_acceptance(["rejected", "failed", "subscribed"])
    assert proves_refusal(["rejected"])
    assert not proves_refusal(["rejected", "delivered"])
    assert not proves_refusal([])
