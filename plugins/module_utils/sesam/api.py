# Copyright (c) 2026, the fieldops.runbooks contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The API of a node: questions within a time limit, answers or one readable error, and a token that goes to this server and nowhere else."""

from __future__ import annotations

import html
import json
import re
from contextlib import closing
from typing import Any, Collection, Dict, Iterator, List, Mapping, Optional, Tuple
from urllib.parse import quote as percent
from urllib.parse import urlencode, urlsplit, urlunsplit

from ..connect.dial import Failure
from ..connect.http import Answer, ask, stream
from ..connect.jsonstream import items
from .errors import SesamError

LIMIT = 32 * 1024 * 1024
"""Bytes of an answer that are held in memory at most."""
LONGEST_WAIT = 3600.0
_PIECE = 65536
_ERROR_BYTES = 65536
_SENTENCE = 300
_PAGE = 1 << 15
_HIDDEN = "********"
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*){1,2}")
_NOT_TEXT = re.compile(r"<(script|style|head|svg)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_TITLE = re.compile(r"<title[^>]*>(.*?)</title\s*>", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"<!--.*?-->|<[^<>]*>", re.DOTALL)
_KINDS = {401: "auth", 403: "auth", 404: "not_found", 409: "conflict", 502: "unavailable", 503: "unavailable", 504: "unavailable"}
_NO_ANSWER = {"timeout": "timeout", "tls": "tls", "bad_url": "bad_request", "bad_request": "bad_request"}
_WORDS = {
    401: "does not accept who asks (401): the token is missing, expired, or of another node; pass a valid one as jwt",
    403: "does not permit this (403): the token lacks the permission, for most of it the role group:Admin",
}

Params = Mapping[str, Any]


def quote(pipe_id: str) -> str:
    """An id as one part of a path: nothing in it is left as it is that could mean something there."""
    # A path of dots alone is taken for a step upwards, percent-encoded or not.
    if not pipe_id or set(pipe_id) == {"."}:
        raise SesamError("%r is no id that a node could have" % pipe_id)
    return percent(pipe_id, safe="")


class Reply:
    """An answer that was wanted, whatever its status."""

    def __init__(self, path: str, answer: Answer) -> None:
        self.path = path
        self.status = int(answer.status or 0)
        self.body = answer.body
        self.truncated = answer.truncated
        self.headers = answer.headers
        self.seconds = answer.seconds

    def json(self) -> Any:
        """The body as JSON."""
        if self.truncated:
            raise SesamError("the answer to %s is longer than the %d bytes that are read of it" % (self.path, len(self.body)), "too_long", self.status)
        try:
            return json.loads(self.body.decode("utf-8-sig"))
        except (ValueError, RecursionError):
            raise SesamError("the answer to %s (status %d) is not JSON, but %s" % (self.path, self.status, self._nature()), "not_json", self.status) from None

    def _nature(self) -> str:
        kind = self.headers.get("content-type", "").partition(";")[0].strip()[:60]
        return "empty" if not self.body else "%d bytes of %s" % (len(self.body), kind or "something else")


class Node:
    """A node by its API. Each question takes ``timeout`` seconds at most, and never more than ``request_timeout``."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self.url = base_url(params["api_url"])
        self.timeout = _waiting(params["request_timeout"])
        self._verify = bool(params["validate_certs"])
        self._ca_cert: Optional[str] = params["ca_cert"]
        self._token = token_of(params["jwt"])
        self._secrets = _spellings(self._token)

    @property
    def authenticates(self) -> bool:
        """Whether there is a token to be sent."""
        return bool(self._token)

    def close(self) -> None:
        """Each question has a connection of its own, which it closes."""

    def scrub(self, text: str) -> str:
        """A text without the token, in whatever spelling, and without any other."""
        for secret in self._secrets:
            text = text.replace(secret, _HIDDEN)
        return _JWT.sub(_HIDDEN, text)

    def get(self, path: str, params: Optional[Params] = None, accept: Collection[int] = (), limit: int = LIMIT, timeout: Optional[float] = None) -> Any:
        """JSON. ``accept`` names statuses besides 2xx whose body is an answer as well."""
        return self.ask("GET", path, params, accept=accept, limit=limit, timeout=timeout).json()

    def text(
        self,
        path: str,
        params: Optional[Params] = None,
        accept: Collection[int] = (),
        limit: int = LIMIT,
        timeout: Optional[float] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Reply:
        """Anything at all, as bytes. ``truncated`` says whether there was more than ``limit``."""
        return self.ask("GET", path, params, accept=accept, limit=limit, timeout=timeout, headers=dict({"Accept": "*/*"}, **(headers or {})))

    def put(
        self, path: str, body: Any, params: Optional[Params] = None, accept: Collection[int] = (), limit: int = LIMIT, timeout: Optional[float] = None
    ) -> Reply:
        """JSON to be kept there in place of what is there."""
        data = json.dumps(body, ensure_ascii=True, allow_nan=False).encode("ascii")
        return self.ask("PUT", path, params, data, "application/json", accept=accept, limit=limit, timeout=timeout)

    def post_form(self, path: str, fields: Params, accept: Collection[int] = (), limit: int = LIMIT, timeout: Optional[float] = None) -> Reply:
        """An operation with its parameters."""
        data = urlencode(_pairs(fields)).encode("ascii")
        return self.ask("POST", path, None, data, "application/x-www-form-urlencoded", accept=accept, limit=limit, timeout=timeout)

    def delete(self, path: str, accept: Collection[int] = (), timeout: Optional[float] = None) -> Reply:
        return self.ask("DELETE", path, accept=accept, timeout=timeout)

    def ask(
        self,
        method: str,
        path: str,
        params: Optional[Params] = None,
        body: Optional[bytes] = None,
        content_type: str = "",
        accept: Collection[int] = (),
        limit: int = LIMIT,
        timeout: Optional[float] = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Reply:
        """Any question; SesamError for an answer that is neither a success nor accepted."""
        sent = dict(self._headers(), **(headers or {}))
        if content_type:
            sent["Content-Type"] = content_type
        answer = ask(self._address(path, params), method, body, sent, self._within(timeout), limit, verify=self._verify, ca_cert=self._ca_cert, follow=0)
        if answer.kind or not (answer.ok or answer.status in accept):
            raise self.error(path, answer)
        return Reply(path, answer)

    def stream(self, path: str, params: Optional[Params] = None, timeout: Optional[float] = None) -> Iterator[Any]:
        """The items of a JSON array, each as soon as it has come; no more than one of them is held."""
        found = stream(self._address(path, params), self._headers(), self._within(timeout), self._verify, self._ca_cert)
        with closing(found):
            answer = found.answer
            if answer.kind or not answer.ok:
                raise self.error(path, answer if answer.kind else _with_body(found))
            try:
                yield from items(found.pieces(size=_PIECE))
            except Failure as failure:
                raise self._no_answer(path, failure.kind, failure.text, answer.status, True) from None
            except ValueError as exc:
                raise SesamError(self.scrub("the answer to %s is no array that can be read: %s" % (path, exc)), "not_json", answer.status) from None

    def error(self, path: str, answer: Answer) -> SesamError:
        """What an answer that is none means."""
        if answer.kind:
            return self._no_answer(path, answer.kind, answer.error, answer.status, answer.connected)
        status = int(answer.status or 0)
        if 300 <= status < 400:
            return SesamError(self.scrub("%s %s" % (self.url, _moved(answer))), "redirect", status, connected=True)
        said = self.sentence(answer.body)
        text = "%s %s" % (self.url, _WORDS.get(status, "answers %s with status %d" % (path, status)))
        kind = _KINDS.get(status, "server_error" if status >= 500 else "bad_request")
        return SesamError(self.scrub("%s: %s" % (text, said) if said else text), kind, status, connected=True)

    def sentence(self, body: bytes) -> str:
        """What the body of an error says, JSON or HTML, in one line without markup, token or length."""
        return _cut(self.scrub(_said(body.decode("utf-8", "replace"))))

    def _no_answer(self, path: str, kind: str, text: str, status: Optional[int], connected: bool) -> SesamError:
        told = "no answer to %s of %s: %s" % (path, self.url, text) if kind not in ("bad_url", "bad_request") else text
        return SesamError(self.scrub(told), _NO_ANSWER.get(kind, "unreachable"), status, cause=kind, connected=connected)

    def _headers(self) -> Dict[str, str]:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Authorization"] = "Bearer %s" % self._token
        return headers

    def _address(self, path: str, params: Optional[Params]) -> str:
        address = "%s/%s" % (self.url, path.lstrip("/"))
        return "%s?%s" % (address, urlencode(_pairs(params))) if params else address

    def _within(self, timeout: Optional[float]) -> float:
        return self.timeout if timeout is None else max(0.001, min(timeout, self.timeout))


def base_url(given: str) -> str:
    """The URL as questions begin with it, with ``/api`` at its end."""
    text = given.strip()
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as exc:
        raise SesamError("api_url: this is no URL: %s" % exc) from None
    if "@" in parts.netloc:
        raise SesamError("api_url must not have credentials in it: pass a token as jwt")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise SesamError("api_url must be like http://localhost:9042/api, not %r" % text)
    if parts.query or parts.fragment or any(sign <= " " or sign == "\x7f" for sign in text):
        raise SesamError("api_url must end with its path, as http://localhost:9042/api does: no query, no fragment and no blank")
    path = parts.path.rstrip("/")
    return urlunsplit((parts.scheme, parts.netloc, path if path.endswith("/api") else path + "/api", "", ""))


def token_of(given: Optional[str]) -> str:
    """A token without what it is often kept with: quotes, and the word bearer."""
    text = _bare(given or "")
    if text.lower().startswith("bearer") and text[6:7] in ("", " ", "\t"):
        text = _bare(text[6:])
    if any(not "!" <= sign <= "~" for sign in text):
        raise SesamError("jwt: there are blanks, line breaks or signs other than ASCII in it, which no token has")
    return text


def _bare(text: str) -> str:
    text = text.strip()
    while len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip()
    return text


def _spellings(token: str) -> List[str]:
    """The token as a server may echo it: in an URL, in HTML, in JSON, or its parts."""
    if not token:
        return []
    whole = {token, percent(token, safe=""), html.escape(token), json.dumps(token)[1:-1]}
    parts = {part for part in token.split(".") if len(part) >= 16}
    return sorted(whole | parts, key=len, reverse=True)


def _pairs(fields: Params) -> List[Tuple[str, str]]:
    """Truth is spelt as the API spells it."""
    return [(name, {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)) for name, value in fields.items() if value is not None]


def _waiting(seconds: float) -> float:
    if not 0 < seconds <= LONGEST_WAIT:
        raise SesamError("request_timeout must be more than 0 and at most %g seconds, not %g" % (LONGEST_WAIT, seconds))
    return float(seconds)


def _with_body(found: Any) -> Answer:
    """An error whose words are wanted, as far as they come."""
    body = bytearray()
    try:
        for piece in found.pieces(_ERROR_BYTES):
            body += piece
    except Failure:
        pass
    answer: Answer = found.answer
    return Answer(answer.url, answer.status, bytes(body), headers=answer.headers, connected=True)


def _moved(answer: Answer) -> str:
    """Where a redirect leads, without a path or a query, which may hold anything."""
    try:
        target = urlsplit(answer.headers.get("location", ""))
        place = "%s://%s" % (target.scheme, target.netloc.rpartition("@")[2]) if target.netloc else "another path of it"
    except ValueError:
        place = "what is no URL"
    return "redirects to %s (%s), which is not followed with a token: give the right address as api_url" % (place[:120], answer.status)


def _said(text: str) -> str:
    """JSON: the usual keys. HTML: its title and its text. Else the text itself."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, Mapping):
        told = [str(found[key]) for key in ("error", "title", "message", "msg", "detail", "description") if isinstance(found.get(key), str)]
        return _plain("; ".join(dict.fromkeys(told)))
    if isinstance(found, str):
        return _plain(found)
    return "" if found is not None else _plain(text)


def _plain(text: str) -> str:
    """Markup and escapes taken off the beginning: the end of each tag that is never closed is looked for to the end of the text."""
    text = text[:_PAGE]
    title = _TITLE.search(text)
    body = _TAG.sub(" ", _NOT_TEXT.sub(" ", text))
    words = " ".join(html.unescape(body).split()) or (" ".join(html.unescape(title.group(1)).split()) if title else "")
    return "".join(sign if sign.isprintable() else "?" for sign in words)


def _cut(text: str) -> str:
    return text if len(text) <= _SENTENCE else text[: _SENTENCE - 3].rstrip() + "..."
