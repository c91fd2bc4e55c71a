# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text near the real thing: samples that are cut, doubled, spliced and sprinkled with what breaks parsers."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

NASTY = [
    "\0",
    "\r\n",
    "\n",
    "\r",
    "\n\n",
    "\u2028",
    "\x85",
    "\ufeff",
    "\u00b2",
    "\u0663",
    "\ud800",
    "\U0001f525",
    "\x1b[31m",
    "%s",
    "%",
    "\\",
    "'",
    '"',
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "<",
    ">",
    "&",
    "&amp;",
    "|",
    "=",
    ":",
    ",",
    ";",
    "-1",
    "0",
    "1e999",
    "NaN",
    "Infinity",
    "9" * 25,
    "9" * 5000,
    "0x",
    "-",
    "\t",
    " " * 50,
    "[" * 400,
    "{" * 400,
    "(" * 400,
    '{"a":' * 300,
    "\\x{110000}",
    "\\x{d800}",
    "\\777",
    "#{",
    "<<",
    "=>",
    "37#z",
    "null",
    "true",
    "$",
    "$oid",
    "../",
    "//",
    "|F",
    "|P",
]
VALUES = [
    None,
    True,
    False,
    0,
    -1,
    2**63,
    10**400,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "x",
    "\u00b2",
    "\0",
    "9" * 5000,
    [],
    {},
    [None],
    [[]],
    {"": {}},
    {"a": 1},
]


@st.composite
def texts(draw: st.DrawFn, samples: list[str]) -> str:
    """A sample after some accidents; now and then any text at all."""
    if draw(st.integers(0, 15)) == 0:
        return draw(st.text(max_size=80))
    text = draw(st.sampled_from(samples))
    for _round in range(draw(st.integers(0, 5))):
        one, two = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
        kind = draw(st.sampled_from("cut insert insert drop double swap splice replace".split()))
        if kind == "cut":
            text = text[:two]
        elif kind == "drop":
            text = text[:one] + text[two:]
        elif kind == "double":
            text = text[:two] + text[one:two] + text[two:]
        elif kind == "splice":
            text = text[:one] + draw(st.sampled_from(samples))[one:]
        elif kind == "swap":
            lines = draw(st.permutations(text.split("\n")[:12]))
            text = "\n".join(lines)
        else:
            text = text[:one] + draw(st.sampled_from(NASTY)) + text[one if kind == "insert" else min(len(text), one + 3) :]
    return text


def blobs(samples: list[bytes]) -> st.SearchStrategy[bytes]:
    """Bytes likewise; they stand for themselves in the text that is mutated."""
    return texts([each.decode("latin-1") for each in samples]).map(lambda text: text.encode("latin-1", "replace"))


@st.composite
def trees(draw: st.DrawFn, samples: list[Any], kept: tuple[str, ...] | None = None) -> Any:
    """What JSON can hold, with some of a sample's values changed for others, or gone.

    With ``kept``, the answer is that of an API whose types are certain: what is not in it may be missing or null, and a value stays of its kind.
    """
    made = json.loads(json.dumps(draw(st.sampled_from(samples))))
    for _round in range(draw(st.integers(0, 4))):
        places = [(holder, key) for holder, key in _places(made) if kept is None or key not in kept]
        if not places:
            break
        holder, key = draw(st.sampled_from(places))
        if isinstance(holder, dict) and draw(st.booleans()):
            del holder[key]
        elif kept is None:
            holder[key] = draw(st.sampled_from(VALUES))
        else:
            holder[key] = draw(st.sampled_from(_alike(holder, holder[key])))
    return made


def _alike(holder: Any, value: Any) -> list[Any]:
    nothing = [None] if isinstance(holder, dict) else []
    if isinstance(value, str):
        return ["", *(each for each in NASTY if "\ud800" not in each)]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int):
        return [0, -1, 2**63]
    return [value, *nothing] if value is None else [type(value)(), *nothing]


def _places(tree: Any) -> Any:
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield tree, key
        yield from _places(value)


def strings(value: Any) -> Any:
    """All texts in a result."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from strings(key)
            yield from strings(each)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for each in value:
            yield from strings(each)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            yield from strings(getattr(value, name))
