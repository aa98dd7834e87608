"""Mistakes of kind in the words of the document."""

import pytest
from pydantic import Field

from netmote.config.document import check_document, parse_document
from netmote.config.section import Section
from netmote.errors import ConfigError


class Row(Section):
    """A row."""

    name: str = "x"
    count: int = 0


class Table(Section):
    """A document of every kind of value."""

    ratio: float = 0.0
    is_on: bool = False
    rows: tuple[Row, ...] = Field(default=(), min_length=2, max_length=3)
    row: Row = Row()
    words: dict[str, str] = Field(default_factory=dict)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("ratio: much", "t.yaml:1: ratio: must be a number (given: 'much')"),
        ("is_on: perhaps", "t.yaml:1: is_on: must be true or false (given: 'perhaps')"),
        ("row: {count: 1.5}", "t.yaml:1: row.count: must be a whole number (given: 1.5)"),
        ("row: {name: 5}", "t.yaml:1: row.name: must be text; put it in quotes (given: 5)"),
        ("row: text", "t.yaml:1: row: must be a mapping of name, count (given: 'text')"),
        ("row: [1]", "t.yaml:1: row: must be a mapping of name, count (a list is given)"),
        ("words: 1", "t.yaml:1: words: must be a mapping (given: 1)"),
        ("rows: {name: x}", "t.yaml:1: rows: must be a list (a mapping is given)"),
        ("rows:\n- {}", "t.yaml:1: rows: must have at least 2 entries"),
        ("rows:\n- {}\n- {}\n- {}\n- {}", "t.yaml:1: rows: must have at most 3 entries"),
        ("rows:\n- {}\n- 5\n- {}", "t.yaml:3: rows[1]: must be a mapping of name, count (given: 5)"),
    ],
)
def test_each_mistake_is_one_sentence(text: str, problem: str) -> None:
    """One problem each: a list is not called too short because a row of it is wrong."""
    with pytest.raises(ConfigError) as caught:
        check_document(parse_document(text, "t.yaml"), Table)
    assert [str(each) for each in caught.value.problems] == [problem]
