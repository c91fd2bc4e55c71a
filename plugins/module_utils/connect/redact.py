# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets out of what is shown or kept: the one place that knows what a secret looks like. Pure.

It goes by the shape of a value (private keys, tokens, passwords in URLs) and by the name before it (``password=``, ``"token":``, ``--secret``).
What has neither can only be known: such values are passed as ``known``. In doubt it is hidden: what was shown cannot be taken back.
"""

from __future__ import annotations

import re
from typing import Any, List, Mapping, Sequence

HIDDEN = "********"
SHORTEST = 4
"""Shorter values are no secrets, and hiding them would garble numbers and words that happen to contain them."""

_WORDS = (
    r"passw(?:or)?d|passwort|passphrase|passcode|pwd|secret|token|credential|cookie|authorization|jwt|dsn|connection[_-]?string"
    r"|(?:api|private|access|account|shared|signing|encryption|license|auth|ssh|master|session|client|deploy)[_-]?key|mypw"
)
# Everything is bounded, and begins with what is rare: a line of a log may have a million characters.
_REST = r"(?:%s)[A-Za-z0-9_-]{0,64}" % _WORDS
_NAME = r"[A-Za-z0-9_.-]{0,64}?" + _REST
_BLANK = r"[^\S\n]{0,64}"
# A quoted value ends at its quote, or with the line where it was cut off; an unquoted one at a blank or a sign that parts fields.
_QUOTED = r"(?P<q>\\{0,8}[\"'])(?:\\.|(?!(?P=q))[^\n])*(?:(?P=q)|$|(?=\n))"
_BARE = r"(?:[^\s,;&\"'<>]|,(?!\s))(?:[^\s,;&<>]|,(?!\s))*"
_VALUE = r"(?:(?:b)?%s|(?:(?:bearer|basic|token|digest)[^\S\n]+)?%s)" % (_QUOTED, _BARE)

_KEY_BLOCK = re.compile(r"-----BEGIN (?P<of>[A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?)-----.*?(?:-----END (?P=of)-----|\Z)", re.DOTALL)
_TOKEN = re.compile(
    r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+)*"
    r"|\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|(?:AKIA|ASIA)[A-Z0-9]{16}|hv[sb]\.[\w-]{20,}"
    r"|sk_live_\w{16,}|\$(?:2[aby]?|5|6|y|argon2id)\$[\w./$=,+-]{20,})"
)
_SCHEME = re.compile(r"(?i)\b(bearer|(?:basic|digest)(?=\s+[^\s\"',;]{8})(?=\s+[^\s\"',;]*[\d=+/_.-]))(\s+)[^\s\"',;]+")
_URL_PASSWORD = re.compile(r"(://[^/\s:@\"']*):[^/\s\"']+@")
_URL_TOKEN = re.compile(r"(://)(?=[^/\s:@]*\d)[^/\s:@\"']{16,}@")
_FIRST = re.compile(r"(?im)^(?P<name>[ \t]*(?:export[ \t]+|-[ \t]+)?(?!-)%s)(?P<sign>[ \t]*(?:=|:[ \t]))[ \t]*(?P<value>[^\s{\[|>][^\n]*)$" % _NAME)
_PAIR = re.compile(r"(?i)(?P<name>%s)(?P<sign>\\{0,8}[\"']?%s(?:=>|:=|[=:])%s)(?P<value>%s)" % (_REST, _BLANK, _BLANK, _VALUE))
_FLAG_PAIR = re.compile(r"(?i)(?P<name>(?<!\S)--?%s)(?P<sign>[^\S\n]{1,64})(?P<value>[^\s-]\S*)" % _NAME)
_SQL = re.compile(r"(?i)(?P<name>\b(?:password|identified\s+by))(?P<sign>\s+)(?P<value>'(?:''|[^'])*(?:'|$))")
_XML = re.compile(r"(?i)(?P<name><%s(?:\s[^<>]{0,200})?>)(?P<sign>)(?P<value>[^<]+)(?=</)" % _NAME)
_UNIT = re.compile(r"(?im)^(?P<name>[ \t]*(?:Environment|PassEnvironment|SetCredential\w*|LoadCredential\w*))(?P<sign>=)(?P<value>.+)$")
_FLAG = re.compile(r"(?i)^--?%s$" % _NAME)
_SECRET_NAME = re.compile(r"(?i)^%s$" % _NAME)
# Names that have such a word in them, and what they say is public.
_PUBLIC_NAME = re.compile(
    r"(?i)(?:^|[_.-])(?:(?:max|min|num|total|input|output|n)[_-]?tokens?|tokens?_(?:count|age|type)|cookies?_(?:count|age)|(?:old)?pwd)$"
    r"|(?:_|-)(?:file|path|dir|url|uri|expires?(?:_at)?|age|set|length|count|missing|name|type|policy|min|max)$"
)
_PUBLIC_VALUE = re.compile(r"(?i)^[\"']?(?:none|null|nil|true|false|yes|no|\*+|<[^<>]*>|-)?[\"']?[)\]}.,;/]*$")
_HEADER = re.compile(r"(?i)(?P<name>\b(?:set-cookie|cookie|(?:proxy-)?authorization|x-[\w-]{0,64}?(?:token|key)))(?P<sign>:[ \t]*)(?P<value>[^\n\"']+)")
# "jwt: the token has expired" is a sentence; no token is a word among words. Of passwords this cannot be said.
_SAID = re.compile(r"(?!(?i:bearer|basic|digest|token)\b)[A-Z]?[a-z]{1,11} [\"'A-Za-z]")
_OF_SENTENCES = re.compile(r"(?i)(?:token|jwt|credentials?|cookies?|authorization)$")
# What a name begins with, before the word that it was found by; and what is around it.
_BEFORE = re.compile(r"[A-Za-z0-9_.-]*$")
_AFTER = re.compile(r"^[\s<-]*(?:export\s+)?|[\s>].*$", re.DOTALL)
_PAIRS = (_UNIT, _HEADER, _FIRST, _PAIR, _FLAG_PAIR, _SQL, _XML)
_HINT = re.compile(
    r"(?i)%s|eyJ|bearer|basic|digest|identified|://|-----BEGIN|gh[pousr]_|glpat-|xox|AKIA|ASIA|hv[sb]\.|sk_live|environment=|credential|\$" % _WORDS
)


def secret_name(name: str) -> bool:
    """Whether what has this name is nobody's business."""
    return _SECRET_NAME.match(name) is not None and _PUBLIC_NAME.search(name) is None


def text(value: str, known: Sequence[str] = ()) -> str:
    """Text without secrets. Twice is as good as once."""
    value = _without(value, known)
    if _HINT.search(value) is None:
        return value
    value = _KEY_BLOCK.sub(HIDDEN, value)
    value = _TOKEN.sub(HIDDEN, value)
    value = _URL_PASSWORD.sub(r"\1:%s@" % HIDDEN, value)
    value = _URL_TOKEN.sub(r"\1%s@" % HIDDEN, value)
    for pattern in _PAIRS:
        value = pattern.sub(_hide, value)
    return _SCHEME.sub(r"\1\2" + HIDDEN, value)


def _hide(found: re.Match[str]) -> str:
    name = _BEFORE.search(found.string[max(0, found.start() - 64) : found.start()])[0] + _AFTER.sub("", found["name"])  # type: ignore[index]
    public = _PUBLIC_NAME.search(name) is not None and not (name.lower() == "pwd" and not found["value"].startswith(("/", '"/', "'/")))
    if (
        public
        or _PUBLIC_VALUE.match(found["value"])
        or (":" in found["sign"] and _OF_SENTENCES.search(name) and _SAID.match(found.string, found.start("value")))
    ):
        return found[0]
    return found["name"] + found["sign"] + HIDDEN


def _without(value: str, known: Sequence[str]) -> str:
    for secret in sorted((secret for secret in known if len(secret) >= SHORTEST), key=len, reverse=True):
        value = value.replace(secret, HIDDEN)
    return value


def words(argv: Sequence[str], known: Sequence[str] = ()) -> List[str]:
    """A command line; the word after an option that is named so is hidden as well."""
    shown: List[str] = []
    hide = False
    for word in argv:
        shown.append(HIDDEN if hide else text(word, known))
        hide = not hide and _FLAG.match(word) is not None
    return shown


def data(value: bytes, known: Sequence[str] = ()) -> bytes:
    """Bytes likewise; what is no text stays as it is."""
    return text(value.decode("latin-1"), [each.encode("utf-8").decode("latin-1") for each in known]).encode("latin-1")


def tree(value: Any, known: Sequence[str] = ()) -> Any:
    """JSON values likewise. Of an entry with the name of a secret, every text is hidden, however deep."""
    if isinstance(value, str):
        return text(value, known)
    if isinstance(value, Mapping):
        return {key: hidden(each) if isinstance(key, str) and secret_name(key) else tree(each, known) for key, each in value.items()}
    return [tree(each, known) for each in value] if isinstance(value, (list, tuple)) else value


def hidden(value: Any) -> Any:
    """The same shape, without a word; numbers are hidden where they are all there is."""
    if isinstance(value, str):
        return value if _PUBLIC_VALUE.match(value) else HIDDEN
    if isinstance(value, Mapping):
        return {key: hidden(each) for key, each in value.items()}
    return [hidden(each) for each in value] if isinstance(value, (list, tuple)) else value


def environment(variables: Sequence[str]) -> List[str]:
    """``NAME=value`` of a container or a process: the names, and no value. What is secret in an environment is not told by its name alone."""
    return ["%s=%s" % (each.partition("=")[0], HIDDEN) for each in variables]
