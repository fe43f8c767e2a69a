"""A control: a head that is trained to guess the Shapley values and changes no prediction.

It reads the frozen tokens of a network and returns a signed value for each. If such a head names
the reasons as well as aligned attention does, then the alignment's gain is not that a cheap
explanation exists, but only that attention itself can be trusted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model.shapley import shapley_values
from model.tokens import TokenArrays
from model.training.network import FusionNetwork, collate
from model.training.predict import RowGame

Doubles = npt.NDArray[np.float64]

HIDDEN_UNITS = 64
EPOCHS = 60
LEARNING_RATE = 3e-3
TEACHER_PAIRS = 4


class AmortisedHead(nn.Module):
    """Token and context -> signed value of the token, in logits."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.context = nn.Linear(width, HIDDEN_UNITS)
        self.token = nn.Linear(width, HIDDEN_UNITS)
        self.out = nn.Sequential(
            nn.GELU(), nn.Linear(HIDDEN_UNITS, HIDDEN_UNITS), nn.GELU(), nn.Linear(HIDDEN_UNITS, 1)
        )

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """(B, N, M), (B, N) -> values (B, N); 0 for padding."""
        shown = present[..., None].to(tokens.dtype)
        mean = (tokens * shown).sum(dim=1) / shown.sum(dim=1).clamp_min(1.0)  # (B, M)
        joined = self.token(tokens) + self.context(mean)[:, None]
        values = self.out(joined).squeeze(2)
        return values * present.to(values.dtype)


def train_head(
    network: FusionNetwork, records: Sequence[TokenArrays], *, seed: int
) -> AmortisedHead:
    """Teach a head the Shapley values of these records; the network's weights stay as they are."""
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    batch = collate(list(records))
    with torch.no_grad():
        memory = network.eval().encode(batch)
    target = torch.zeros(memory.present.shape)
    for row, tokens in enumerate(records):
        game = RowGame(network, tokens)
        samples, _, _ = shapley_values(game, len(game), TEACHER_PAIRS, generator)
        target[row, memory.present[row]] = torch.from_numpy(samples.values).float()
    head = AmortisedHead(memory.tokens.shape[2])
    optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    known = memory.present.float()
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(target)).split(64):
            error = (head(memory.tokens[rows], memory.present[rows]) - target[rows]) ** 2
            loss = (error * known[rows]).sum() / known[rows].sum()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return head.eval()


@torch.no_grad()
def guessed_values(head: AmortisedHead, game: RowGame) -> Doubles:
    """Return the head's values of one record's tokens (n,)."""
    values = head(game.memory.tokens, game.memory.present)[0]
    return values[game.places].numpy().astype(np.float64)
