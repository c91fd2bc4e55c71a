# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stack traces of all threads, as a page of HTML: on a signal, when the node does not hear itself, and for those who may ask."""

from __future__ import annotations

import html
import sys
import threading
import time
import traceback
from pathlib import Path

from lab.sesam.standin.logs import rotate

NAME = "stacktrace.html"
MODE = 0o644
_writing = threading.Lock()


def page(size: int) -> bytes:
    """Where every thread is, with what the real one has around it."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = ["<html><head><title>Stacktraces</title></head><body>\n", f"<h1>Stacktraces {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())}</h1>\n"]
    for ident, frame in sys._current_frames().items():
        lines = html.escape("".join(traceback.format_stack(frame)))
        parts.append(f'<h2>Thread {html.escape(names.get(ident, "?"))} ({ident})</h2>\n<pre class="stack">{lines}</pre>\n')
    text, end = "".join(parts), "</body></html>\n"
    variable = "<tr><td>self</td><td><code>&lt;lake.pump.Pump object&gt;</code></td></tr>\n"
    room = size - len((text + end).encode()) - len("<table></table>")
    filling = variable * (max(room, 0) // len(variable))
    return (f"{text}<table>{filling}</table>" + " " * (max(room, 0) - len(filling)) + end).encode()


def write(folder: Path, size: int, seconds: float) -> Path:
    """A new file; the former ones move on. It may take its time."""
    with _writing:
        file = folder / NAME
        rotate(file)
        content = page(size)
        with open(file, "wb") as handle:
            file.chmod(MODE)
            steps = 10 if seconds else 1
            for step in range(steps):
                handle.write(content[len(content) * step // steps : len(content) * (step + 1) // steps])
                handle.flush()
                time.sleep(seconds / steps)
        return file
