# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON that is too long to hold: the items of one array, told one by one from pieces."""

from __future__ import annotations

import codecs
import json
from typing import Any, Iterable, Iterator

LONGEST_ITEM = 16 * 1024 * 1024
"""Characters of one item that are held at most."""
_CLOSING = '}]"'
_AFTER = (" ", "\t", "\r", "\n", ",", "]")
_BLANKS = " \t\r\n"


def items(pieces: Iterable[bytes], longest: int = LONGEST_ITEM) -> Iterator[Any]:
    """The items of an array, each as soon as it is complete. ValueError for what is no JSON array, or breaks off."""
    text = _Text(pieces, longest)
    if text.next_sign() != "[":
        raise ValueError("it is no array")
    text.skip()
    if text.next_sign() == "]":
        text.skip()
    else:
        while True:
            yield text.value()
            sign = text.next_sign()
            if sign not in (",", "]"):
                raise ValueError("there is %s where a comma is wanted" % (repr(sign) if sign else "an end"))
            text.skip()
            if sign == "]":
                break
    if text.next_sign():
        raise ValueError("there is more after the end of the array")


class _Text:
    """What has come and is not used yet."""

    def __init__(self, pieces: Iterable[bytes], longest: int) -> None:
        self._pieces = iter(pieces)
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._json = json.JSONDecoder()
        self._longest = longest
        self._text = ""
        self._at = 0
        self._ended = False

    def skip(self) -> None:
        self._at += 1

    def next_sign(self) -> str:
        """The next character that is no blank, which stays; empty at the end."""
        while True:
            while self._at < len(self._text) and self._text[self._at] in _BLANKS:
                self._at += 1
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def value(self) -> Any:
        """The next value. One that is not complete is tried again only with twice as much of it, so that a long one costs no more than its length."""
        self.next_sign()
        wanted = 0
        while True:
            while len(self._text) - self._at < wanted and self._more():
                pass
            found, problem = None, None
            try:
                found, end = self._json.raw_decode(self._text, self._at)
            except json.JSONDecodeError as exc:
                problem = exc
            except RecursionError:
                raise ValueError("it is nested too deeply") from None
            if problem is None and (self._ended or self._is_whole(end)):
                self._at = end
                return found
            if self._ended:
                raise ValueError("it breaks off, or is no JSON: %s" % (problem or "no end"))
            wanted = 2 * (len(self._text) - self._at)
            if wanted > 2 * self._longest:
                raise ValueError("one item of it is longer than %d characters" % self._longest)
            self._more()

    def _is_whole(self, end: int) -> bool:
        """A number may go on: 12 is the beginning of 12.5 and of 123."""
        return self._text[end - 1] in _CLOSING or self._text[end : end + 1] in _AFTER

    def _more(self) -> bool:
        """One piece more; what was used goes."""
        if self._ended:
            return False
        piece = next(self._pieces, None)
        more = self._decoder.decode(piece or b"", final=piece is None)
        self._ended = piece is None
        self._text = self._text[self._at :] + more
        self._at = 0
        return True
