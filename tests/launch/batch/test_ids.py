from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartcore.launch.batch.ids import Ref, parse_id, pieces, plain, whole_id
from smartcore.spec import JobId, NativeId, Tag

natives = st.text(st.characters(exclude_characters="#", codec="utf-8"), max_size=20)
tags = st.from_regex(r"[A-Za-z0-9_. #-]{0,20}-[0-9a-z]+", fullmatch=True)


@given(natives, tags, st.integers(1, 2000), st.booleans(), st.data())
def test_an_id_is_read_as_it_was_written(
    native: str, tag: str, count: int, array: bool, data: st.DataObject
) -> None:
    index = data.draw(st.none() | st.integers(0, count - 1))
    ref = Ref(NativeId(native), Tag(tag), count, array, index)
    assert parse_id(ref.job_id) == (ref,)


@given(st.integers(2, 300), st.integers(1, 100), st.data())
def test_an_array_in_pieces_is_read_as_it_was_written(
    count: int, size: int, data: st.DataObject
) -> None:
    size = min(size, count - 1)
    parts = [
        Ref(
            NativeId(data.draw(st.sampled_from(["", "12", "7[].srv"]))), tag, len(ids), len(ids) > 1
        )
        for tag, ids in pieces(Tag("a b-1"), count, size)
    ]
    assert sum(ref.count for ref in parts) == count
    assert parse_id(whole_id(Tag("a b-1"), count, size, parts)) == tuple(parts)
    for ref in parts:
        assert all(parse_id(one.job_id) == (one,) for one in ref.members[:3])


@pytest.mark.parametrize(
    "text",
    ["", "123", "123#", "1#t:0", "1#t:2/2", "1#t/1", "1 2#t[9:5]/1", "1#t[9:5]", "1 2#t[9:0]"],
)
def test_what_is_no_id_of_ours_is_nothing(text: str) -> None:
    assert parse_id(JobId(text)) == ()


@pytest.mark.parametrize("native", ["123;cluster", "74[].pbssrv", "123.polaris.al*", "5+0"])
def test_the_schedulers_own_forms_stay_as_they_are(native: str) -> None:
    """F13."""
    (parsed,) = parse_id(Ref(NativeId(native), Tag("m-1"), 3, True, 1).job_id)
    assert parsed.native == native


@given(st.text(st.characters(exclude_characters="+"), max_size=20))
def test_a_plain_tag_is_one_for_each_and_harmless_everywhere(text: str) -> None:
    found = plain(Tag(text))
    assert found.isascii()
    assert not set(found) - set("+") & set(" /\n'\"$%#\\")
    assert plain(found) == found
    assert plain(Tag(text + "x")) != found
    data = re.sub(rb"\+([0-9A-F]{2})", lambda one: bytes([int(one[1], 16)]), found.encode())
    assert data.decode("utf-8", "surrogatepass") == text


def test_an_ordinary_tag_stays_as_it_is() -> None:
    assert plain(Tag("heat_3.a-k3f9")) == "heat_3.a-k3f9"
