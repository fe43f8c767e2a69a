"""A checkpoint served where the training libraries cannot be imported.

    python -m tests.cds_hooks.serve_tasks CHECKPOINT EXPLAINED_TASK PATIENT...

Prints, for each patient of the site export, the explained task and the probability of each task.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ABSENT = ("torch", "transformers", "safetensors", "onnx", "shap", "lime", "sklearn")


def main(checkpoint: Path, explained_task: str, numbers: list[int]) -> None:
    """Print one line of JSON."""
    for name in ABSENT:
        sys.modules[name] = None  # type: ignore[assignment]  # importing it is an error from here
    from fhir_adapters.record_builder import build_record
    from model.predictor import load_predictor
    from tests.cds_hooks.site_export import NOW, site_chart

    predictor = load_predictor(checkpoint, threads=1, explained_task=explained_task)
    lines: list[dict[str, Any]] = []
    for number in numbers:
        prediction, explanation = predictor(build_record(site_chart(number), NOW))
        risks = {task.display: task.probability for task in prediction.tasks}
        lines.append({"explained": explanation.task if explanation else None, "risks": risks})
    sys.stdout.write(json.dumps({"encoder": predictor.encoder.identity, "patients": lines}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], [int(number) for number in sys.argv[3:]])
