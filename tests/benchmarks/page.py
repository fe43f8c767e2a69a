"""The report page: build/bench/index.html, from the results that lie beside it.

Every benchmark draws it anew when it ends; ``python -m tests.benchmarks.page`` draws it alone. One
HTML file with its figures inside, nothing loaded from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from model.training.figures import Picture
from model.training.report_page import PageTable, Section, write_page
from tests.benchmarks import pictures
from tests.benchmarks.targets import rows as target_rows

OUT = Path("build/bench")
LEAD = (
    "Times are of the machine named below, which may do other things beside; ratios are of things "
    "that took turns within one run, and hardly depend on that. Brackets hold 95 % bootstrap "
    "intervals. How to run each benchmark stands in docs/performance.md."
)
TITLES = {
    "stages": "Where the time of one hook goes",
    "changes": "What was made faster",
    "explainers": "Beside the packages shap and lime",
    "healthchain": "Beside an unexplained service of HealthChain",
    "throughput": "Throughput, overload and memory",
    "growth": "How cost grows",
    "roofline": "How far from the roofline",
}
Results = Mapping[str, Mapping[str, Any]]


def write(out: Path) -> Path:
    """Draw the page from what lies in a folder, and return its path."""
    results = read(out)
    sections = [Section("Targets", tables=[_targets(results)])]
    sections += [_section(name, result) for name, result in results.items()]
    path = out / "index.html"
    write_page(path, "Speed of the service, measured", LEAD, sections)
    return path


def read(out: Path) -> Results:
    """Return the results by name, the known ones first and in order."""
    found = {}
    for file in sorted(out.glob("*.json")):
        result = json.loads(file.read_text())
        if isinstance(result, dict) and {"name", "lines", "figures", "machine"} <= set(result):
            found[result["name"]] = result
    order = [name for name in TITLES if name in found]
    return {name: found[name] for name in (*order, *(n for n in found if n not in TITLES))}


def _targets(results: Results) -> PageTable:
    return PageTable(
        "Section 7 of the design: target and measured. 'fail' may be the machine's load: see the "
        "load average under each heading.",
        ("what", "target", "measured", "verdict"),
        target_rows({name: result["figures"] for name, result in results.items()}),
    )


def _section(name: str, result: Mapping[str, Any]) -> Section:
    machine = result["machine"]
    drawn: list[Picture] = getattr(pictures, name, _no_pictures)(result["figures"])
    quick = (
        "A quick run: it shows that the benchmark works, and no figures. "
        if result["quick"]
        else ""
    )
    when = (
        f"{quick}Begun {result['began']}, {result['figures'].get('seconds', 0):.0f} s; "
        f"{machine['processor']}, {machine['cores']} cores, load average "
        f"{', '.join(map(str, machine['load average']))} at the start; Python {machine['python']}, "
        f"onnxruntime {machine['onnxruntime']}, numpy {machine['numpy']}."
    )
    table = PageTable("What was printed", ("",), [[line] for line in result["lines"]])
    return Section(TITLES.get(name, name), [when], drawn, [table])


def _no_pictures(_figures: Mapping[str, Any]) -> Sequence[Picture]:
    return []


def main() -> None:
    """Draw it."""
    write(OUT)


if __name__ == "__main__":
    main()
