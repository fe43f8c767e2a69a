"""From a trained network to a checkpoint folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load as load_weights
from safetensors.torch import save as save_weights

from model.applicability import ApplicabilityRules
from model.calibration import Calibration, ConformalSets
from model.checkpoint import Checkpoint, ModelInfo, save_checkpoint
from model.tokens import TokenConfig
from model.training.encode_graph import encode_graph
from model.training.fuse_graph import fuse_graph
from model.training.network import FusionNetwork, NetworkConfig

WEIGHTS = "weights.safetensors"  # of the torch network, for evaluation and further training


def export_checkpoint(
    folder: Path,
    network: FusionNetwork,
    tokens: TokenConfig,
    info: ModelInfo,
    *,
    calibration: Mapping[str, Calibration],
    conformal: Mapping[str, ConformalSets],
    applicability: ApplicabilityRules,
    model_card: str,
    more: Mapping[str, bytes] | None = None,
    encoder: Path | None = None,
) -> None:
    """Write the folder; ``info.network`` is filled in from the network.

    ``encoder`` is the folder of an exported sentence encoder, if it is to travel with it.
    """
    weights = {name: value.contiguous() for name, value in network.state_dict().items()}
    checkpoint = Checkpoint(
        info=replace(info, network=network.config.to_json()),
        tokens=tokens,
        encode_graph=encode_graph(network).SerializeToString(deterministic=True),
        fuse_graph=fuse_graph(network).SerializeToString(deterministic=True),
        normalisation=normalisation(network, tokens),
        calibration=calibration,
        conformal=conformal,
        applicability=applicability,
        model_card=model_card,
    )
    files = {WEIGHTS: save_weights(weights), **(more or {})}
    save_checkpoint(folder, checkpoint, files, encoder=encoder)


def normalisation(network: FusionNetwork, tokens: TokenConfig) -> dict[str, Any]:
    """Return the bins of the quantile encodings, one row a variable or channel.

    Where there is none the network holds a row that nothing uses; it is not written.
    """
    encodings = {
        "structured": (network.structured.encoding, len(tokens.variables)),
        "device": (network.device.encoding, len(tokens.channels)),
    }
    return {
        name: {"low": encoding.low[:rows].tolist(), "width": encoding.width[:rows].tolist()}
        for name, (encoding, rows) in encodings.items()
    }


def load_network(checkpoint: Checkpoint, weights: bytes) -> FusionNetwork:
    """Rebuild the torch network of a checkpoint from its weights file."""
    network = FusionNetwork(
        checkpoint.tokens, NetworkConfig.from_json(dict(checkpoint.info.network))
    )
    network.load_state_dict(load_weights(weights))
    return network.eval()
