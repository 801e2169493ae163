"""Where two checkpoint documents agree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localsrv.model.checkpoints import KEPT_SESSIONS, Counts, Session, Start, common_start, lower


def document(*sessions: tuple[str, Any]) -> dict[str, Any]:
    """A checkpoint with `(session, recorded sequence)`, newest first."""
    history = [{"session_id": name, "recorded_seq": seq} for name, seq in sessions]
    head = {"session_id": sessions[0][0], "source_last_seq": sessions[0][1]} if sessions else {}
    return {**head, "history": history}


@pytest.mark.parametrize(
    ("source", "target", "since", "is_latest"),
    [
        (None, None, 0, False),
        (document(("a", 5)), None, 0, False),
        (None, document(("a", 5)), 0, False),
        ({}, document(("a", 5)), 0, False),
        (document(("a", "5-x")), document(("a", "5-x")), "5-x", True),
        (document(("b", 9), ("a", 5)), document(("b", 9), ("a", 5)), 9, True),
        # The source heard of a session that the target did not, and the other way round.
        (document(("b", 9), ("a", 5)), document(("a", 5)), 5, False),
        (document(("a", 5)), document(("b", 9), ("a", 5)), 5, False),
        (document(("c", 9), ("a", 5)), document(("b", 7), ("a", 5)), 5, False),
        # One of the two writes of a session's checkpoint was lost, or one side was set back.
        (document(("a", 9)), document(("a", 5)), 5, False),
        (document(("a", "5-z")), document(("a", "19-y")), "5-z", False),
        # Sequences that cannot be compared: the session before counts, or nothing.
        (document(("b", "x"), ("a", 5)), document(("b", "y"), ("a", 5)), 5, False),
        (document(("b", "5-x")), document(("b", "5-y")), 0, False),
        (document(("a", 5)), document(("b", 5)), 0, False),
        # Whatever else a peer may answer.
        ({"history": "x"}, document(("a", 5)), 0, False),
        ({"history": [5, {}, {"session_id": 5}]}, document(("a", 5)), 0, False),
        (document(("a", [5])), document(("a", [5])), 0, False),
        (document(("a", True)), document(("a", True)), 0, False),
        ({"session_id": "a", "source_last_seq": 5}, {"session_id": "a", "source_last_seq": 5}, 0, False),
    ],
)
def test_common_start(source: Any, target: Any, since: Any, is_latest: bool) -> None:
    found = common_start(source, target)
    assert (found.since, found.is_latest) == (since, is_latest)


@given(st.one_of(st.integers(0, 99), st.text("0123456789-ab", max_size=6)), st.integers(0, 99))
def test_the_lower_is_one_of_both(first: int | str, second: int) -> None:
    assert lower(first, second) in (first, second, None)
    assert lower(first, second) == lower(second, first)


def test_a_session_is_one_entry_of_the_history() -> None:
    earlier = tuple({"session_id": f"s{n}", "recorded_seq": n} for n in range(KEPT_SESSIONS, 0, -1))
    session = Session("new", "then", Start(3, earlier))
    first = session.document(Counts(docs_written=1), 7, "now")
    second = session.document(Counts(docs_written=2), 9, "later")
    for found, seq in ((first, 7), (second, 9)):
        assert (found["session_id"], found["source_last_seq"]) == ("new", seq)
        assert len(found["history"]) == KEPT_SESSIONS
        assert [entry["session_id"] for entry in found["history"]].count("new") == 1
        assert found["history"][0]["recorded_seq"] == found["history"][0]["end_last_seq"] == seq
        assert found["history"][0]["start_last_seq"] == 3
    assert common_start(first, second).since == 7
