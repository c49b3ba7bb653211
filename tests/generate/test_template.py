from __future__ import annotations

import string

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from smartcore.error import InputError, InputTypeError
from smartcore.generate.template import check_tag, cut, unknown_tags

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,6}", fullmatch=True)
TAGS = st.text(st.sampled_from("@%$;#|~^*?+.-\\"), min_size=1, max_size=3)


def filled(text: bytes, values: dict[str, bytes], tag: str = ";") -> bytes:
    return cut(text, tag, values).fill(values)


@given(st.binary(), st.sets(NAMES, max_size=3), TAGS)
def test_text_without_tags_is_unchanged_byte_for_byte(
    text: bytes, names: set[str], tag: str
) -> None:
    assume(tag.encode() not in text)
    assert filled(text, dict.fromkeys(names, b"X"), tag) == text
    assert not list(unknown_tags(text, tag, names))


@given(st.binary(), st.sets(NAMES, max_size=3))
def test_cutting_loses_nothing(text: bytes, names: set[str]) -> None:
    names_in_tags = {name: f";{name};".encode() for name in names}
    assert filled(text, names_in_tags) == text


@given(
    st.dictionaries(NAMES, st.binary(), min_size=1),
    st.lists(st.text(string.printable.replace(";", ""))),
    TAGS,
    st.data(),
)
def test_any_value_is_put_in_literally(
    values: dict[str, bytes], literals: list[str], tag: str, data: st.DataObject
) -> None:
    assume(not any(character in "".join(literals) for character in tag))
    assume(not any(character in name for name in values for character in tag))
    used = [data.draw(st.sampled_from(sorted(values))) for _ in literals]
    text = "".join(
        f"{literal} {tag}{name}{tag} " for literal, name in zip(literals, used, strict=True)
    )
    expected = b"".join(
        literal.encode() + b" " + values[name] + b" "
        for literal, name in zip(literals, used, strict=True)
    )
    assert filled(text.encode(), values, tag) == expected
    assert not list(unknown_tags(text.encode(), tag, values))


def test_statements_between_semicolons_are_no_tags() -> None:
    text = b"a = 1; b = 2; c = 3;\nfor (i=0;i<n;i++) {}\n1;2;3\n;;;\n; b;\n;b ;\n"
    assert filled(text, {"a": b"X", "b": b"Y"}) == text
    assert not list(unknown_tags(text, ";", {"a", "b"}))


@pytest.mark.parametrize("value", [rb"C:\new", rb"\1\g<0>", b";a;", b"", b"\xff\0", b"a\r\nb"])
def test_values_mean_nothing_but_themselves(value: bytes) -> None:
    assert filled(b"x ;a; y;a;", {"a": value}) == b"x " + value + b" y" + value


def test_line_ends_and_encodings_stay() -> None:
    text = b"k = ;k;\r\n\xe4\xff;k;\r\nno newline"
    assert filled(text, {"k": b"1"}) == b"k = 1\r\n\xe4\xff1\r\nno newline"


def test_neighbours_do_not_share_a_delimiter() -> None:
    assert filled(b";a;;b;", {"a": b"1", "b": b"2"}) == b"12"
    assert filled(b";a;b;", {"a": b"1", "b": b"2"}) == b"1b;"
    assert filled(b";x;a;", {"a": b"1"}) == b";x1"


def test_a_parameter_may_have_any_name() -> None:
    values = {"größe": b"1", "a b": b"2", "1st": b"3", "a|b": b"4", "run.k-1": b"5"}
    text = "".join(f";{name}; " for name in values).encode()
    assert filled(text, values) == b"1 2 3 4 5 "


def test_delimiters_of_ones_own_are_no_patterns_and_not_greedy() -> None:
    assert filled(b"@a@ and @b@", {"a": b"1", "b": b"2"}, "@") == b"1 and 2"
    assert filled(b"me@host.org @a@", {"a": b"1"}, "@") == b"me@host.org 1"
    assert filled(b"..a.. ab", {"a": b"1"}, "..") == b"1 ab"
    assert filled(b"-a-b-", {"a": b"1"}, "-") == b"1b-"
    assert filled(b"%%a%% %a%", {"a": b"1"}, "%%") == b"1 %a%"


def test_unknown_tags_are_found_with_their_lines() -> None:
    text = b";a;\n\nx;y;z\r\n;a.b; ;c-d;"
    assert list(unknown_tags(text, ";", {"a"})) == [(3, "y"), (4, "a.b"), (4, "c-d")]
    assert list(unknown_tags(b"@a@b@", "@", {"b"})) == [(1, "a")]


@pytest.mark.parametrize("tag", ["", "a", "@a", "_", "3", "\n", "é"])
def test_a_delimiter_that_could_be_a_name_is_refused(tag: str) -> None:
    with pytest.raises(InputError, match="cannot enclose the names of parameters"):
        check_tag(tag)


def test_a_delimiter_is_a_string() -> None:
    assert check_tag(None) == ";"
    assert check_tag("@@") == "@@"
    with pytest.raises(InputTypeError, match="tag must be a str"):
        check_tag(3)  # type: ignore[arg-type]
