# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The printed result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from measure import Usage

HEAD = ("what", "wall s", "min - max", "cpu s", "peak MiB", "statements", "ratio")


@dataclass
class Line:
    """All that is known of one step: what each round took, and the statements that it sent, by the size of the queue."""

    label: str
    against: str
    usages: list[Usage] = field(default_factory=list)
    statements: dict[int, int] = field(default_factory=dict)

    @property
    def wall(self) -> float:
        return median(usage.wall for usage in self.usages)

    def cells(self, base: Line | None) -> tuple[str, ...]:
        walls = [usage.wall for usage in self.usages]
        return (
            self.label,
            f"{self.wall:.2f}",
            f"{min(walls):.2f} - {max(walls):.2f}",
            f"{median(usage.cpu for usage in self.usages):.2f}",
            f"{median(usage.peak_mib for usage in self.usages):.0f}",
            " / ".join(str(count) for _rows, count in sorted(self.statements.items())),
            f"{self.wall / base.wall:.3g} x {base.label.partition(': ')[2].partition(', ')[0]}" if base else "",
        )


def unsteady(lines: Sequence[Line]) -> list[str]:
    """Steps whose number of statements depends on the number of rows."""
    return [line.label for line in lines if len(set(line.statements.values())) > 1]


def render(lines: Mapping[str, Line]) -> str:
    rows = [HEAD, *(line.cells(lines.get(line.against)) for line in lines.values())]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEAD))]
    # Words to the left, figures to the right.
    texts = [
        "  ".join(cell.ljust(width) if n in (0, 6) else cell.rjust(width) for n, (cell, width) in enumerate(zip(row, widths, strict=True))) for row in rows
    ]
    return "\n".join([texts[0].rstrip(), "-" * max(map(len, texts)), *(text.rstrip() for text in texts[1:])])
