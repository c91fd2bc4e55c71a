# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log files and lines as upstream's: `YYYY-MM-DD HH:MM:SS,mmm <pid>:<module>:<line> LEVEL: message`."""

from __future__ import annotations

import logging
import logging.handlers
import os
import sys
from typing import Any

_FORMAT = "%(asctime)s %(process)d:%(place)s %(levelname)s: %(message)s"


class Log:
    """`at` is `<module>:<line>` of the statement in upstream's source that writes this line."""

    def __init__(self, log_dir: str, generation: str) -> None:
        self._logger = logging.getLogger("fits")
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False
        self._formatter = logging.Formatter(_FORMAT)
        self._dir = log_dir
        self._size = 10000000 if generation in "AB" else 100000000
        self._script = os.path.basename(sys.argv[0])
        # The file is made in any case; without a log_dir (C without its configuration) that is in the current directory.
        self._handler = self._open(self._script + ".log", self._size)
        if log_dir:
            self._logger.addHandler(self._handler)

    def _open(self, name: str, size: int) -> logging.handlers.RotatingFileHandler:
        handler = logging.handlers.RotatingFileHandler(os.path.join(self._dir, name), backupCount=10, maxBytes=size)
        handler.setFormatter(self._formatter)
        return handler

    def configure(self, debug: bool, demon: bool, suffix: str | None) -> None:
        """What the options --debug, --demon and --name or --logsuffix do."""
        if debug:
            self._logger.setLevel(logging.DEBUG)
        if not demon:
            stream = logging.StreamHandler()
            stream.setFormatter(self._formatter)
            self._logger.addHandler(stream)
        if suffix:
            self._logger.removeHandler(self._handler)
            self._logger.addHandler(self._open(f"{self._script}-{suffix}.log", 10000000))

    def debug(self, message: str, *args: Any, at: str) -> None:
        self._logger.debug(message, *args, extra={"place": at})

    def info(self, message: str, *args: Any, at: str) -> None:
        self._logger.info(message, *args, extra={"place": at})

    def warning(self, message: str, *args: Any, at: str) -> None:
        self._logger.warning(message, *args, extra={"place": at})

    def critical(self, message: str, *args: Any, at: str) -> None:
        self._logger.critical(message, *args, extra={"place": at})

    def error(self, message: str, *args: Any, at: str, exc_info: bool = False) -> None:
        self._logger.error(message, *args, extra={"place": at}, exc_info=exc_info)
