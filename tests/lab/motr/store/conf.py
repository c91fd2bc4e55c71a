# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration (conf.xc) of two servers with devices in one enclosure, in the form of the real one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ENDPOINTS = ("0@lo:12345:33:900", "0@lo:12345:33:901")
PROCESSES = ("<7200000000000001:0>", "<7200000000000001:1>")


def conf_text(n: int, k: int, s: int, devices: Sequence[Path]) -> str:
    """Pool version ^v|1:10 of n + k + s units on these devices; the first half of them is the first server's."""
    numbers = range(1, len(devices) + 1)
    half = len(devices) // 2
    shares = (numbers[:half], numbers[half:])
    records = [
        "{0x74| ((^t|1:0), 1, (11, 22), ^o|1:9, ^v|1:10, 1, [0], [2: ^n|1:2, ^n|1:3], [1: ^S|1:6], [1: ^o|1:9], [1: ^p|1:0], [0])}",
        "{0x70| ((^p|1:0), [1: ^o|1:9])}",
        "{0x6e| ((^n|1:2), 16000, 2, 3, 2, [1: ^r|1:0])}",
        "{0x6e| ((^n|1:3), 16000, 2, 3, 2, [1: ^r|1:1])}",
    ]
    for index, (endpoint, share) in enumerate(zip(ENDPOINTS, shares, strict=True)):
        records.append(f'{{0x72| ((^r|1:{index}), [1:3], 0, 0, 0, 0, "{endpoint}", [1: ^s|1:{index}])}}')
        records.append(f'{{0x73| ((^s|1:{index}), @M0_CST_IOS, [1: "{endpoint}"], [0], {_listed("d", share)})}}')
    for number, path in zip(numbers, devices, strict=True):
        records.append(f'{{0x64| ((^d|1:{number}), {number - 1}, 4, 1, 4096, {path.stat().st_size}, 3, 4, "{path}")}}')
        records.append(f"{{0x6b| ((^k|1:{number}), ^d|1:{number}, [1: ^v|1:10])}}")
        records.append(f"{{0x6a| ((^j|1:{number}), ^k|1:{number}, [0])}}")
    records += [
        "{0x53| ((^S|1:6), [1: ^a|1:6], [1: ^v|1:10])}",
        "{0x61| ((^a|1:6), [1: ^e|1:7], [1: ^v|1:10])}",
        "{0x65| ((^e|1:7), ^n|1:2, [1: ^c|1:8], [1: ^v|1:10])}",
        f"{{0x63| ((^c|1:8), {_listed('k', numbers)}, [1: ^v|1:10])}}",
        "{0x6f| ((^o|1:9), 0, [1: ^v|1:10])}",
        f"{{0x76| ((^v|1:10), {{0| ({n}, {k}, {s}, {len(devices)}, [5: 0, 0, 0, 0, {k}], [1: ^j|2:7])}})}}",
        "{0x6a| ((^j|2:7), ^S|1:6, [1: ^j|2:8])}",
        "{0x6a| ((^j|2:8), ^a|1:6, [1: ^j|2:9])}",
        "{0x6a| ((^j|2:9), ^e|1:7, [1: ^j|2:10])}",
        f"{{0x6a| ((^j|2:10), ^c|1:8, {_listed('j', numbers)})}}",
    ]
    return f"[{len(records)}:\n  " + ",\n  ".join(records) + "]\n"


def _listed(letter: str, numbers: Sequence[int]) -> str:
    return f"[{len(numbers)}: " + ", ".join(f"^{letter}|1:{number}" for number in numbers) + "]"
