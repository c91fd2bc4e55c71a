# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The service: the main loop, and beside it the thread that speaks to job-server.

The main loop's errors end the process, and systemd starts it again a minute later. The thread's errors are logged, and it waits.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import urllib.error

from . import release
from .config import Config
from .loop import Loop
from .store import Store, checked
from .sync import Sync

log = logging.getLogger("service")


def main() -> None:
    """Until a keyboard interrupt, which `kill -INT` is, too."""
    threading.current_thread().name = "run "
    logging.basicConfig(level=logging.INFO, format="{asctime} {threadName} {message}", style="{")
    config = Config.read(os.environ)
    store = checked(config.database, config.user_version)
    try:
        log.info("jobrunner.service started (release %s)", release.NAME)
        threading.Thread(target=sync, args=(config,), name="sync", daemon=True).start()
        loop = Loop(config, store)
        log.info("jobrunner.run loop started")
        while True:
            loop.turn()
            time.sleep(config.loop_interval)
    except KeyboardInterrupt:
        log.info("jobrunner.service stopped")


def sync(config: Config) -> None:
    """For ever; after an error it waits five times as long."""
    log.info("Starting sync thread")
    thread = Sync(config, Store(config.database, config.user_version))
    while True:
        try:
            log.info("Polling for JobRequests at: %s/job-requests/", config.endpoint.rstrip("/"))
            while True:
                thread.once()
                time.sleep(config.poll_interval)
        except urllib.error.HTTPError as error:
            log.error("%s %s", error, error.url)
            time.sleep(config.poll_interval * 5)
        except Exception:
            log.exception("Exception in sync thread")
            time.sleep(config.poll_interval * 5)


if __name__ == "__main__":
    main()
