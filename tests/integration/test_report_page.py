# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report's page in a real browser: opened, clicked through, printed; it asks for nothing and complains of nothing.

The reports are those of `make demo`. With FIELDOPS_SCREENSHOTS=docs/images the pictures of docs/report.md are taken anew.
"""

from __future__ import annotations

import copy
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.fieldops.runbooks.plugins.plugin_utils import report_html
from lab.browser import browser, complaints, requested, shot
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "report"
ABOVE = """
return Array.from(document.querySelectorAll('h1, h2, p, b, li, code, a'))
    .filter(one => one.getBoundingClientRect().bottom < innerHeight).map(one => one.innerText).join('\\n')
"""
"""What can be read without scrolling."""
PICTURES = os.environ.get("FIELDOPS_SCREENSHOTS")


def report(name: str) -> dict[str, Any]:
    return dict(json.loads(gzip.decompress((FIXTURES / f"{name}.json.gz").read_bytes())))


@pytest.fixture(scope="module")
def page() -> Iterator[Chrome]:
    with browser() as driver:
        yield driver


def show(page: Chrome, folder: Path, document: dict[str, Any], theme: str = "light") -> None:
    file = folder / "report.html"
    file.write_text(report_html.render(document), encoding="utf-8")
    requested(page), complaints(page)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": [{"name": "prefers-color-scheme", "value": theme}]})
    page.get(file.as_uri())
    assert [address for address in requested(page) if address.startswith(("http:", "https:", "ws:", "wss:", "ftp:"))] == []


def picture(page: Chrome, name: str, height: int = 0) -> None:
    if PICTURES:
        shot(page, Path(PICTURES).resolve() / f"{name}.png", height)


def shown(page: Chrome) -> list[str]:
    return [one.text for one in page.find_elements(By.CSS_SELECTOR, "details.find > summary") if one.is_displayed()]


def background(page: Chrome) -> str:
    return str(page.execute_script("return getComputedStyle(document.body).backgroundColor"))


def test_what_is_broken_and_what_to_do_is_on_the_first_screen(page: Chrome, tmp_path: Path) -> None:
    document = report("triage")
    show(page, tmp_path, document)
    above = page.execute_script(ABOVE)
    hosts = {on["host"] for group in document["findings"] if group["severity"] == "critical" for on in group["hosts"]}
    assert hosts
    assert all(host in above for host in hosts)
    assert "ansible-playbook" in above
    picture(page, "triage", 900)


def test_findings_are_narrowed_and_opened(page: Chrome, tmp_path: Path) -> None:
    document = report("triage")
    show(page, tmp_path, document)
    every = shown(page)
    assert len(every) > 10
    page.find_element(By.CSS_SELECTOR, "button[data-filter=warning]").click()
    warnings = shown(page)
    assert 0 < len(warnings) < len(every)
    page.find_element(By.ID, "reset").click()
    assert shown(page) == every
    page.find_element(By.ID, "by-text").send_keys("scheduler")
    assert 0 < len(shown(page)) < len(every)
    page.find_element(By.ID, "reset").click()
    page.find_element(By.ID, "expand").click()
    assert all(one.get_attribute("open") for one in page.find_elements(By.CSS_SELECTOR, "details.find"))
    assert complaints(page) == []


def test_a_cell_of_the_heat_strip_leads_to_its_finding(page: Chrome, tmp_path: Path) -> None:
    show(page, tmp_path, report("triage"))
    cell = page.find_element(By.CSS_SELECTOR, "table.heat td a, .heat a")
    target = str(cell.get_attribute("href")).rpartition("#")[2]
    cell.click()
    assert page.execute_script("return document.getElementById(arguments[0]).open", target)
    assert complaints(page) == []


def test_dark_light_and_paper(page: Chrome, tmp_path: Path) -> None:
    show(page, tmp_path, report("remediation"), "dark")
    dark = background(page)
    picture(page, "remediation-dark", 1000)
    show(page, tmp_path, report("remediation"))
    light = background(page)
    assert dark != light
    page.find_element(By.ID, "theme").click()
    assert background(page) == dark
    page.execute_script("localStorage.clear()")
    pdf = page.print_page()
    assert len(pdf) > 10_000
    assert complaints(page) == []


def test_the_way_from_red_to_green(page: Chrome, tmp_path: Path) -> None:
    document = report("remediation")
    show(page, tmp_path, document)
    text = page.find_element(By.TAG_NAME, "body").text
    for entry in document["undo"]:
        assert entry["undo_id"] in text
    assert "cleared" in text.lower()
    picture(page, "remediation", 1000)


def test_fifty_hosts_fit(page: Chrome, tmp_path: Path) -> None:
    """As many as ten such fleets, each as broken."""
    document = copy.deepcopy(report("triage"))
    for group in document["findings"]:
        group["hosts"] = [{**on, "host": f"{on['host']}-{number}"} for on in group["hosts"] for number in range(10)]
    for name, key in (("hosts", "name"), ("checks", "host")):
        document[name] = [{**one, key: f"{one[key]}-{number}"} for one in document[name] for number in range(10)]
    show(page, tmp_path, document)
    assert (tmp_path / "report.html").stat().st_size < 300_000
    assert len(document["hosts"]) == 50
    assert complaints(page) == []
    picture(page, "fifty-hosts", 900)
