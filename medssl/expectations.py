"""What a recipe's value should have been, in words."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

WORDS = {
    "float_type": "a number",
    "finite_number": "a finite number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "float_parsing": "a number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "string_type": "a text",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "greater_than": "a number above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "a number below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "literal_error": "{expected}",
    "string_too_short": "a text that is not empty",
}
"""What pydantic misses → in the words of a recipe."""


def expectation(errors: Sequence[Any]) -> tuple[list[str], str, Any]:
    """Where in a value the trouble lies, what was expected there, and what came."""
    deepest = max(errors, key=lambda error: sum(isinstance(part, int) for part in error["loc"]))
    spot = [part for part in deepest["loc"] if isinstance(part, int)]
    if deepest["type"] in ("missing", "too_long"):
        places = [part for error in errors for part in error["loc"] if isinstance(part, int)]
        count = deepest.get("ctx", {}).get("max_length", max(places, default=0) + 1)
        return [str(part) for part in spot[:-1]], f"{count} values", deepest["input"]
    here = [error for error in errors if [part for part in error["loc"] if isinstance(part, int)] == spot]
    words = [WORDS.get(e["type"], e["msg"]).format(**e.get("ctx", {})) for e in here]
    return [str(part) for part in spot], " or ".join(dict.fromkeys(words)), deepest["input"]


def show(value: Any) -> str:
    """A value as it stands in a recipe, cut short."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def did_you_mean(name: Any, known: Mapping[str, Any]) -> str:
    """The nearest known name, or all of them.

    Example:
        >>> did_you_mean("stepz", {"steps": 1, "lr": 2}), did_you_mean("q", {"steps": 1, "lr": 2})
        ('did you mean steps?', 'known: steps, lr')
    """
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
