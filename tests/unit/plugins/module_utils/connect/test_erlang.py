# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Terms as Erlang prints them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.module_utils.connect.erlang import Atom, Opaque, TermError, parse, proplist


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("running", "running"),
        ("rabbit@my.host", "rabbit@my"),  # an atom with a dot is printed with quotes
        ("'rabbit@my-host.example.org'", "rabbit@my-host.example.org"),
        ("''", ""),
        (r"'it\'s'", "it's"),
        ("-12", -12),
        ("0.4", 0.4),
        ("1.0e-5", 1e-5),
        ("16#ff", 255),
        ('"3.2.4"', "3.2.4"),
        (r'"a\"b\\c\n\x{263a}\x41\101\^A"', 'a"b\\c\n\u263aAA\x01'),
        ('"one "\n   "string"', "one string"),
        ("<<>>", ""),
        ('<<"slaves">>', "slaves"),
        ('<<"long "\n  "name">>', "long name"),
        ("<<195,164,98>>", "\u00e4b"),
        ('<<"\u00e4\u263a"/utf8>>', "\u00e4\u263a"),
        ('<<"\u00c3\u00a4">>', "\u00e4"),  # bytes of UTF-8, printed as if they were Latin-1
        ("<<255>>", "\\xff"),
        ("{}", ()),
        ("[]", []),
        ("{a, [1,2|3], {}}", ("a", [1, 2, 3], ())),
        ("#{a => 1, [b] => #{}}", {"a": 1, ("b",): {}}),
        (
            "[<0.12.3>, <rabbit@h.1.2.3>, #Ref<0.1.2.3>, #Port<0.7>, #Fun<erl_eval.6.1>]",
            ["<0.12.3>", "<rabbit@h.1.2.3>", "#Ref<0.1.2.3>", "#Port<0.7>", "#Fun<erl_eval.6.1>"],
        ),
        ("<'rabbit@my-host'.1.2.3>", "<'rabbit@my-host'.1.2.3>"),
        ("% a remark\n {ok,\n  yes}.\n...done.\n", ("ok", "yes")),
    ],
)
def test_what_is_printed_is_read(text: str, value: Any) -> None:
    assert parse(text) == value


def test_kinds_are_told_apart() -> None:
    assert [type(each) for each in parse('[a, "a", <<"a">>, <0.1.0>, 1]')] == [Atom, str, str, Opaque, int]


@pytest.mark.parametrize(
    "text",
    ["", "Error: no", "{a", "[1 2]", '"open', "<<300>>", "<<a>>", "#{a}", "#{a => }", "'open", "<<1", ")", "[" * 5000],
)
def test_what_is_no_term_is_refused(text: str) -> None:
    with pytest.raises(TermError):
        parse(text)


def test_a_list_of_pairs() -> None:
    assert proplist(parse("[{name, x}, flag, {three, 1, 2}, {durable, true}]")) == {"name": "x", "durable": "true"}
    assert proplist(parse("undefined")) == {}
