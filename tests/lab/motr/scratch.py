# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An object that a test makes, damages on a device, and removes: by Motr's own tools, in a range of ids that are the tests'."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.fieldops.runbooks.plugins.module_utils.motr import ids

from lab.hosts.common import LabError

EXISTS = "rc=-17"


class Scratch:
    """What the sections `scratch` and `client` say."""

    def __init__(self, scratch: Mapping[str, Any], client: Mapping[str, Any]) -> None:
        self.known, self.client = scratch, client

    @contextlib.contextmanager
    def object(self, data: bytes, block: int) -> Iterator[str]:
        """The id of a new object with these bytes, written in pieces of this size. It never takes one that is there."""
        oid = self._create(data, block)
        try:
            yield oid
        finally:
            if shutil.which("m0unlink", path=self.client.get("tools_dir")) is None:
                print(f"there is no m0unlink: the object {oid} is left")
            else:
                ended = self._run("m0unlink", oid)
                if ended.returncode:
                    print(f"the object {oid} is left: {ended.stderr}")

    def _create(self, data: bytes, block: int) -> str:
        first, last = (ids.parse_object_id(self.known[name]) for name in ("first", "last"))
        for number in range(first.lo, last.lo + 1):
            oid = str(ids.ObjectId(first.hi, number))
            with tempfile.NamedTemporaryFile() as file:
                file.write(data)
                file.flush()
                ended = self._run("m0cp", oid, "-s", str(block), "-c", str(len(data) // block), file.name)
            if not ended.returncode:
                return oid
            if EXISTS not in ended.stderr + ended.stdout:
                raise LabError(f"m0cp could not make {oid}: it ended with {ended.returncode}: {(ended.stderr or ended.stdout)[-1000:]}")
        raise LabError(f"all objects from {first} to {last} are there: remove them by m0unlink, or name other ids")

    def parity_fits(self, oid: str, length: int) -> bool:
        """What m0cat -r says of all of it."""
        ended = self._run("m0cat", oid, "-s", str(length), "-c", "1", "-r", os.devnull)
        if ended.returncode and "parity verification failed" not in ended.stderr:
            raise LabError(f"m0cat ended with {ended.returncode}: {ended.stderr[-1000:]}")
        return not ended.returncode

    def overwrite(self, path: str, offset: int, data: bytes) -> None:
        """Bytes of a device that the file names."""
        if os.path.realpath(path) not in [os.path.realpath(each) for each in self.known["devices"]]:
            raise LabError(f"{path} is none of scratch.devices, and nothing is written to it")
        with open(path, "r+b", buffering=0) as device:
            device.seek(offset)
            device.write(data)
            os.fsync(device.fileno())

    def _run(self, tool: str, oid: str, *words: str) -> subprocess.CompletedProcess[str]:
        client = self.client
        program = shutil.which(tool, path=client.get("tools_dir"))
        if program is None:
            raise LabError(f"there is no {tool}")
        who = ["-l", client["endpoint"], "-H", client["ha_endpoint"], "-p", str(ids.parse(client["profile"])), "-P", str(ids.parse(client["process"]))]
        argv = [str(Path(program).absolute()), *who, "-o", oid, "-L", str(self.known["layout_id"]), *words]
        with tempfile.TemporaryDirectory() as folder:  # where it leaves its traces
            return subprocess.run(argv, cwd=folder, capture_output=True, text=True, timeout=float(client.get("tool_timeout", 60)), check=False)
