"""How much another reading of charts moves the shipped model: this tree beside another one.

Run as ``python -m tests.model.reading_shift TREE`` from the root of the repository, with a work
tree of an earlier commit (``git worktree add TREE COMMIT``). Both read the charts of the eICU
demo, and this tree's checkpoint predicts from each. Logits are compared before calibration.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data" / "eicu-crd-demo"
# Runs in either tree, with that tree's code: nothing of this module can be imported there.
_LOGITS = """
import sys
from pathlib import Path
import numpy as np
from fhir_adapters.datasets.eicu import read_eicu
from fhir_adapters.record_builder import build_record
from model.predictor import load_predictor

data, checkpoint, target = map(Path, sys.argv[1:])
predictor = load_predictor(checkpoint, threads=1)
logits = [
    predictor.logits([build_record(one.chart, one.prediction_time)])[0, 0]
    for one in read_eicu(data)
]
np.save(target, np.array(logits))
"""


def main(arguments: list[str]) -> None:
    """Print how far the logits of both trees lie apart."""
    if len(arguments) != 1 or not Path(arguments[0]).is_dir():
        raise SystemExit(f"Name the folder of another work tree.\n\n{__doc__}")
    this, other = logits_of(ROOT), logits_of(Path(arguments[0]).resolve())
    apart = np.abs(this - other)
    sys.stdout.write(
        f"{len(this)} charts: logits {apart.mean():.4f} apart on average, 99 % within "
        f"{np.percentile(apart, 99):.4f}, at most {apart.max():.4f}\n"
    )


def logits_of(tree: Path) -> np.ndarray:
    """Return the logit of every chart as the tree reads it."""
    checkpoint = ROOT / "model" / "checkpoints" / "meam-risk"
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "logits.npy"
        command = [sys.executable, "-c", _LOGITS, str(DATA), str(checkpoint), str(target)]
        subprocess.run(command, cwd=tree, check=True)
        found: np.ndarray = np.load(target)
    return found


if __name__ == "__main__":
    main(sys.argv[1:])
