from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smartcore.spec import Tag
from smartcore_slurm.steps import parse_steps, step_name


def test_steps_are_found_by_name_and_parts_of_one_are_one() -> None:
    output = "4.2|heat-k3\n4.3+0|mp\n4.3+1|mp\n4.interactive|bash\n"
    assert parse_steps(output) == {"heat-k3": ["4.2"], "mp": ["4.3"], "bash": ["4.interactive"]}


def test_what_is_no_line_of_a_step_is_no_step() -> None:
    assert not any(parse_steps("\nslurm is unwell\n").values())


@given(st.text(max_size=300), st.from_regex(r"[a-z0-9]{12}", fullmatch=True))
def test_a_name_is_one_that_slurm_takes_and_keeps_what_makes_the_tag_unique(
    name: str, unique: str
) -> None:
    made = step_name(Tag(f"{name}-{unique}"))
    assert made.endswith(unique)
    assert len(made) <= 80
    assert not made.startswith("-")
    assert all(character.isascii() and character not in "|, \n+" for character in made)
