# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Headless Chromium, as Debian packages it, for pages that are files.

with browser() as page:
    page.get(file.as_uri())
    complaints(page), requested(page)
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from lab.hosts.common import install

PROGRAMS = {"chromium": "chromium", "chromedriver": "chromium-driver"}
WORDS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--disable-background-networking")


@contextlib.contextmanager
def browser(width: int = 1280, height: int = 900) -> Iterator[Chrome]:
    """A browser with a profile of its own, in a place whose name is short: it has a socket there. It ends with the block."""
    install(PROGRAMS)
    with tempfile.TemporaryDirectory(prefix="lab-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield from _started(Path(folder), width, height)


def _started(folder: Path, width: int, height: int) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    for word in (*WORDS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},{height}"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options, Service("/usr/bin/chromedriver", env={**os.environ, "HOME": str(folder), "TMPDIR": str(folder)}))
    try:
        yield driver
    finally:
        driver.quit()


def complaints(page: Chrome) -> list[str]:
    """What the console has."""
    return [str(entry["message"]) for entry in page.get_log("browser")]


def requested(page: Chrome) -> list[str]:
    """Every address that was asked for since the last time."""
    messages = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    return [message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"]


def shot(page: Chrome, path: Path, height: int = 0) -> None:
    """A picture of the page from its top, so high, or of all of it."""
    size = page.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
    clip = {"x": 0, "y": 0, "width": size["width"], "height": height or size["height"], "scale": 1}
    taken = page.execute_cdp_cmd("Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True})
    path.write_bytes(base64.b64decode(taken["data"]))
