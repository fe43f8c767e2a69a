"""What an attack found: counts, and each kind of fault once, as a compact table."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field

_MOST_EXAMPLES = 40


@dataclass
class Results:
    """Counts by row, and faults with the first example of each kind."""

    title: str
    rows: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    started_s: float = field(default_factory=time.perf_counter)

    def count(self, row: str, number: int = 1) -> None:
        """Add to a row of the table."""
        self.rows[row] += number

    def fault(self, kind: str, example: str = "") -> None:
        """Note a fault; of each kind the first example is kept."""
        self.faults[kind] += 1
        self.examples.setdefault(kind, example)

    def note(self, sentence: str) -> None:
        """Add a line below the table."""
        self.notes.append(sentence)

    @property
    def total(self) -> int:
        """The sum of all rows."""
        return sum(self.rows.values())

    def report(self) -> int:
        """Write the table; return the exit code: 0 without faults."""
        seconds = time.perf_counter() - self.started_s
        lines = [f"{self.title}: {self.total} in {seconds:.0f} s"]
        lines += [f"{number:9}  {row}" for row, number in sorted(self.rows.items())]
        lines += self.notes
        for kind, number in self.faults.most_common(_MOST_EXAMPLES):
            lines.append(f"FAULT {number:6}  {kind}")
            if self.examples[kind]:
                lines.append(f"              first: {self.examples[kind]}")
        lines.append(f"{len(self.faults)} kinds of fault" if self.faults else "no fault")
        sys.stdout.write("\n".join(lines) + "\n")
        return 1 if self.faults else 0
