"""Logits and attention of a trained network over many cases."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import torch

from model.prediction import Modality
from model.tokens import TokenArrays
from model.training.network import DEVICE, NOTE, STRUCTURED, FusionNetwork, collate

MODALITY_IDS: dict[Modality, int] = {"structured": STRUCTURED, "note": NOTE, "device": DEVICE}


@torch.no_grad()
def predict_logits(
    network: FusionNetwork,
    tokens: Sequence[TokenArrays],
    *,
    modalities: Collection[Modality] | None = None,
    batch_size: int = 256,
) -> npt.NDArray[np.float64]:
    """Return logits (n, tasks); with ``modalities``, tokens of the others are hidden."""
    network.eval()
    order = np.argsort([t.token_count for t in tokens], kind="stable")  # less padding
    logits = np.zeros((len(tokens), len(network.config.tasks)))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = collate([tokens[row] for row in rows])
        keep = None
        if modalities is not None:
            shown = torch.tensor([MODALITY_IDS[name] for name in modalities])
            keep = torch.isin(batch.modality, shown).expand(len(batch), -1)
        logits[rows] = network(batch, keep).logits.numpy()
    return logits


class RowGame:
    """One record as a game over its tokens; encoded once, fused for every coalition."""

    def __init__(self, network: FusionNetwork, tokens: TokenArrays, task: int = 0) -> None:
        network.eval()
        self.network = network
        self.task = task
        with torch.no_grad():
            self.memory = network.encode(collate([tokens]))
        self.places = torch.nonzero(self.memory.present[0]).flatten()  # (n,) tokens, no padding
        self.modality = self.memory.modality[self.places].numpy()  # (n,)

    def __len__(self) -> int:
        return len(self.places)

    @torch.no_grad()
    def __call__(self, seen: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """(C, n) -> logits (C,)."""
        mask = torch.zeros(1, len(seen), self.memory.present.shape[1], dtype=torch.bool)
        mask[0][:, self.places] = torch.from_numpy(np.ascontiguousarray(seen))
        logits = self.network.fuse(self.memory, mask).logits[0, :, self.task]  # (C,)
        return logits.numpy().astype(np.float64)

    @torch.no_grad()
    def attention(self) -> npt.NDArray[np.float64]:
        """Return pooled attention over the tokens (n,) with all of them seen."""
        pooled = self.network.fuse(self.memory, self.memory.present).attention[0]  # (N,)
        return pooled[self.places].numpy().astype(np.float64)
