# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why the OT does not find what is there: an archive with a real database behind it, over real TLS, with real certificates."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from mailing import PROGRAM, MailHost
from support import run_ok, run_refused
from unit.plugins.module_utils.connect.certificates import Authority, Pair, day

NAME = "N20190803S0001.fits"
HOUR = 3600.0


class Archive:
    """An archive that serves over TLS with whichever certificate a test wants."""

    def __init__(self, host: MailHost, authority: Authority, stack: ExitStack) -> None:
        self.host = host
        self.authority = authority
        self.stack = stack
        self.url = f"https://localhost:{host.web_port}"

    def serve(self, certificate: Pair) -> None:
        self.stack.enter_context(self.host.web_site(str(certificate.certificate), str(certificate.key)))

    def certificate(self, start: float = -30, end: float = 60, names: tuple[str, ...] = ("DNS:localhost",)) -> Pair:
        """Valid from and to so many days from now."""
        return self.authority.make("archive", "/CN=localhost", names=names, start=day(start), end=day(end))

    def info(self, **options: Any) -> dict[str, Any]:
        arguments = {"archive_url": self.url, "filename": [NAME], "ca_cert": str(self.authority.own.certificate), "timeout": 5}
        return run_ok("archive_ot_info", arguments | options)


@pytest.fixture
def archive(server: Any, database: Callable[..., str], connection: dict[str, Any], tmp_path: Path) -> Iterator[Archive]:
    with ExitStack() as stack:
        host = MailHost(server, database("C"), "C", tmp_path, connection)
        stack.callback(host.session.close)
        yield Archive(host, Authority(tmp_path / "authority"), stack)


def ago(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - seconds))


def codes(result: dict[str, Any]) -> list[str]:
    return [finding["code"].removeprefix("fits.ot.") for finding in result["findings"]]


def test_nothing_is_wrong(archive: Archive) -> None:
    archive.host.file(name=NAME)
    archive.serve(archive.certificate())
    result = archive.info(filename=[NAME + ".bz2"], program_id=[PROGRAM], since=ago(HOUR))
    assert result["verdict"] == "nothing_wrong"
    assert [finding["severity"] for finding in result["findings"]] == ["ok"]
    assert [(row["name"], row["count"], row["visible"]) for row in result["searches"]] == [(NAME, 1, True), (PROGRAM, 1, True)]
    certificate = result["certificate"]
    assert (certificate["trusted"], certificate["renewed"], certificate["names"]) == (True, False, ["localhost"])
    assert 59 < certificate["days_left"] <= 60
    assert result["search_page"] == {"status": 200, "error": ""}
    assert archive.info()["certificate"]["renewed"] is None


def test_renewed_when_the_trouble_began(archive: Archive) -> None:
    archive.host.file(name=NAME)
    archive.serve(archive.certificate(start=-5))
    result = archive.info(since=ago(4.5 * 24 * HOUR))
    assert result["verdict"] == "certificate_renewed"
    assert codes(result) == ["certificate_renewed"]
    assert "12 hours before the first complaint" in result["findings"][0]["summary"]
    assert "OT's host needs the new certificate" in result["findings"][0]["summary"]
    assert result["certificate"]["sha256"] in result["findings"][0]["remedy"]["text"]
    assert archive.info(since=ago(5.5 * 24 * HOUR))["verdict"] == "certificate_renewed"  # the complaint was dated roughly
    assert archive.info(since=ago(2 * 24 * HOUR))["verdict"] == "nothing_wrong"
    assert archive.info(since=ago(2 * 24 * HOUR), window=4 * 24 * HOUR)["verdict"] == "certificate_renewed"


@pytest.mark.parametrize(
    ("start", "end", "names", "what"),
    [(-90, -1, ("DNS:localhost",), "expired"), (1, 90, ("DNS:localhost",), "not_yet_valid"), (-5, 60, ("DNS:other.example.org",), "wrong_name")],
)
def test_a_bad_certificate(archive: Archive, start: float, end: float, names: tuple[str, ...], what: str) -> None:
    archive.host.file(name=NAME)
    archive.serve(archive.certificate(start, end, names))
    result = archive.info()
    assert result["verdict"] == "certificate_bad"
    assert result["findings"][0]["detail"]["what"] == what
    assert result["searches"][0]["found"] is True
    assert result["certificate"]["trusted"] is False


def test_a_certificate_of_an_unknown_authority(archive: Archive, tmp_path: Path) -> None:
    archive.host.file(name=NAME)
    archive.serve(archive.certificate())
    other = Authority(tmp_path / "other", "Another authority")
    result = archive.info(ca_cert=str(other.own.certificate))
    assert (result["verdict"], result["findings"][0]["detail"]["what"]) == ("certificate_bad", "untrusted")


def test_about_to_expire(archive: Archive) -> None:
    archive.host.file(name=NAME)
    archive.serve(archive.certificate(end=3))
    result = archive.info()
    assert codes(result) == ["nothing_wrong", "certificate_expiring"]
    assert codes(archive.info(min_days=1)) == ["nothing_wrong"]


def test_not_there_and_there_for_engineers_only(archive: Archive) -> None:
    archive.host.file(name=NAME, engineering=True)
    archive.serve(archive.certificate(start=-1))
    result = archive.info(since=ago(HOUR))
    assert result["verdict"] == "engineering_only"
    assert codes(result) == ["engineering_only", "certificate_renewed"]
    assert (result["searches"][0]["found"], result["searches"][0]["visible"]) == (True, False)
    result = archive.info(filename=[NAME, "N20190803S0002.fits"])
    assert (result["verdict"], result["findings"][0]["detail"]["names"]) == ("missing", ["N20190803S0002.fits"])
    assert result["findings"][0]["remedy"]["vars"] == {"fits_filename": ["N20190803S0002.fits"]}
    assert archive.info(filename=[], program_id=["GN-2019A-Q-1"])["verdict"] == "missing"


def test_a_file_that_is_not_present_any_more(archive: Archive) -> None:
    archive.host.file(name=NAME)
    archive.host.execute("UPDATE diskfile SET present = false")
    archive.serve(archive.certificate())
    assert archive.info()["verdict"] == "missing"


@pytest.mark.parametrize(
    ("mode", "words"),
    [("500", "answers with status 500"), ("500 searchform", "answers with status 500"), ("refused", "something else than a list"), ("hang", " s")],
)
def test_an_archive_that_does_not_answer_as_it_should(archive: Archive, mode: str, words: str) -> None:
    archive.host.file(name=NAME)
    archive.serve(archive.certificate())
    archive.host.web(mode)
    started = time.monotonic()
    result = archive.info(filename=[f"N20190803S000{n}.fits" for n in range(5)], timeout=4)
    assert time.monotonic() - started < 15  # five names one after the other would be 20
    assert result["verdict"] == "archive_down"
    assert words in result["findings"][0]["summary"]
    assert result["certificate"]["trusted"] is True
    archive.host.web("ok")


def test_an_archive_that_is_away(archive: Archive) -> None:
    result = archive.info()
    assert result["verdict"] == "archive_down"
    assert result["certificate"] is None
    assert result["searches"][0]["found"] is None


def test_without_tls(archive: Archive) -> None:
    archive.host.file(name=NAME)
    with archive.host.web_site():
        result = archive.info(archive_url=archive.host.url)
    assert (result["verdict"], result["certificate"]) == ("nothing_wrong", None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"filename": []}, "name at least one file"),
        ({"filename": ["a/b.fits"]}, "not the name of a file"),
        ({"filename": [""]}, "not the name of a file"),
        ({"filename": ["a\nb"]}, "not the name of a file"),
        ({"program_id": ["GN-2019A/x"]}, "not the id of a program"),
        ({"archive_url": "archive.example.org"}, "archive_url must be"),
        ({"archive_url": "https://me:secret@archive.example.org"}, "archive_url must be"),
        ({"archive_url": "https://archive.example.org/?x"}, "archive_url must be"),
        ({"archive_url": "https://"}, "archive_url must be"),
        ({"since": "yesterday"}, "since must be a time"),
        ({"since": "2999-01-01"}, "lies in the future"),
        ({"window": -1}, "window must be 0 or more"),
        ({"min_days": -1}, "min_days must be 0 or more"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"ca_cert": "/nowhere"}, "ca_cert: /nowhere"),
    ],
)
def test_bad_input(options: dict[str, Any], words: str) -> None:
    result = run_refused("archive_ot_info", {"archive_url": "https://archive.example.org", "filename": [NAME]} | options)
    assert words in result["msg"]
    assert "secret" not in result["msg"]
