"""A CDS Hooks service as a user of HealthChain would write it: boosted trees, no explanation.

Runs in an environment of its own (``python -m venv build/healthchain-venv`` with healthchain
0.16.1 and lightgbm), started by bench_rivals as ``healthchain_service.py PORT raw|adapter``. "raw"
reads the prefetched JSON as it comes, which is the least that can be done; "adapter" goes through
HealthChain's CdsFhirAdapter, which makes every resource a checked object. The trees are fitted at
the start to made-up rows: what they say is worth nothing, what they cost is what is measured.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from typing import Any

import lightgbm
import numpy as np
import uvicorn
from healthchain.gateway import CDSHooksService, HealthChainAPI
from healthchain.io.adapters import CdsFhirAdapter
from healthchain.models import CDSRequest, CDSResponse

MOST_CODES = 60
STATISTICS = 6
TREES = 300
ROWS = 600  # few: the trees' number and depth are what prediction costs
KEYS = ("vitalSigns", "laboratory", "deviceData")


def train() -> lightgbm.Booster:
    """Fit trees to rows of the width that a chart gives."""
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(ROWS, MOST_CODES * STATISTICS))
    outcome = (rows[:, 0] + rows[:, 7] + rng.normal(size=ROWS) > 1).astype(int)
    data = lightgbm.Dataset(rows, outcome)
    settings = {"objective": "binary", "verbose": -1, "num_threads": 1}
    return lightgbm.train(settings, data, num_boost_round=TREES)


def features(series: dict[str, list[tuple[str, float]]]) -> np.ndarray:
    """Last, lowest, highest, mean, sd and count of each code."""
    row = np.full((MOST_CODES, STATISTICS), np.nan)
    for place, code in enumerate(sorted(series)[:MOST_CODES]):
        points = sorted(series[code])
        values = np.array([value for _, value in points])
        row[place] = (
            values[-1],
            values.min(),
            values.max(),
            values.mean(),
            values.std(),
            len(values),
        )
    return row.reshape(1, -1)


def of_json(prefetch: dict[str, Any]) -> dict[str, list[tuple[str, float]]]:
    """Read values from the JSON."""
    series: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for key in KEYS:
        for entry in prefetch[key]["entry"]:
            one = entry["resource"]
            code = one["code"]["coding"][0]["code"]
            if "valueQuantity" in one:
                point = (one["effectiveDateTime"], float(one["valueQuantity"]["value"]))
                series[code].append(point)
            elif "valueSampledData" in one:
                start = one["effectivePeriod"]["start"]
                samples = one["valueSampledData"]["data"].split()
                series[code] += [(start, float(each)) for each in samples if each != "E"]
    return series


def of_objects(resources: dict[str, Any]) -> dict[str, list[tuple[str, float]]]:
    """Read values from HealthChain's objects."""
    series: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for key in KEYS:
        for entry in resources[key].entry or []:
            one = entry.resource
            code = one.code.coding[0].code
            if one.valueQuantity is not None:
                series[code].append((str(one.effectiveDateTime), float(one.valueQuantity.value)))
            elif one.valueSampledData is not None:
                start = str(one.effectivePeriod.start)
                samples = one.valueSampledData.data.split()
                series[code] += [(start, float(each)) for each in samples if each != "E"]
    return series


def build(way: str) -> HealthChainAPI:
    """Return the application with one service on patient-view."""
    trees, adapter = train(), CdsFhirAdapter()
    service = CDSHooksService()

    @service.hook("patient-view", id="risk")
    def risk(request: CDSRequest) -> CDSResponse:
        if way == "raw":
            series = of_json(request.prefetch or {})
        else:
            series = of_objects(adapter.parse(request).fhir.prefetch_resources)
        probability = float(trees.predict(features(series), num_threads=1)[0])
        card = {
            "summary": f"Risk {100 * probability:.0f} %",
            "indicator": "warning",
            "detail": "Boosted trees over laboratory results, vital signs and device data.",
            "source": {"label": "benchmark"},
        }
        return CDSResponse(cards=[card])

    app = HealthChainAPI()
    app.register_service(service)
    return app


if __name__ == "__main__":
    uvicorn.run(build(sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
