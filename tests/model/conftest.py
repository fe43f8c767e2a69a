"""The small world, built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.checkpoint import load_checkpoint
from model.predictor import Predictor
from model.tokens import TokenArrays
from model.training.network import FusionNetwork
from tests.model import worlds


@pytest.fixture(scope="session")
def cohort() -> list[TokenArrays]:
    """Tokens of sixty random charts."""
    return worlds.population()


@pytest.fixture(scope="session")
def network(cohort: list[TokenArrays]) -> FusionNetwork:
    """A random network."""
    return worlds.random_network(cohort)


@pytest.fixture(scope="session")
def checkpoint_folder(
    tmp_path_factory: pytest.TempPathFactory, network: FusionNetwork, cohort: list[TokenArrays]
) -> Path:
    """An exported checkpoint; tests that damage it copy it first."""
    folder = tmp_path_factory.mktemp("checkpoints") / "small"
    return worlds.write_checkpoint(folder, network, worlds.rules(cohort))


@pytest.fixture(scope="session")
def predictor(checkpoint_folder: Path) -> Predictor:
    """The checkpoint, loaded."""
    return Predictor(load_checkpoint(checkpoint_folder), worlds.HashEncoder(), threads=1)
