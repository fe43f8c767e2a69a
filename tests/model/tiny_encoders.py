"""Hugging Face encoders of some kilobytes with random weights, as folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

KINDS = ("bert", "roberta", "distilbert", "mpnet")
WORDS = (
    *("denies", "chest", "pain", "lactate", "rising", "vasopressors", "increased", "overnight"),
    *("ok", "slept", "well", "walked", "in", "the", "corridor", "no", "bed", "day", ".", ","),
)
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")  # padding is 1, as RoBERTa and MPNet have it
WIDTH, LAYERS, HEADS, HIDDEN, POSITIONS = 48, 2, 4, 64, 40


def tiny_encoder(folder: Path, kind: str) -> Path:
    """Write config.json, model.safetensors and tokenizer.json; return the folder."""
    torch.manual_seed(7)
    shared: dict[str, Any] = {
        "vocab_size": len(SPECIAL) + len(WORDS),
        "max_position_embeddings": POSITIONS,
        "pad_token_id": 1,
        "initializer_range": 0.4,  # enough for every path to matter
    }
    sizes: dict[str, Any] = {
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": HIDDEN,
    }
    if kind == "distilbert":
        sizes = {"dim": WIDTH, "n_layers": LAYERS, "n_heads": HEADS, "hidden_dim": HIDDEN}
    configs = {
        "bert": transformers.BertConfig,
        "roberta": transformers.RobertaConfig,
        "distilbert": transformers.DistilBertConfig,
        "mpnet": transformers.MPNetConfig,
    }
    model = transformers.AutoModel.from_config(configs[kind](**shared, **sizes))
    model.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder


def _tokenizer() -> transformers.PreTrainedTokenizerFast:
    numbers = {word: number for number, word in enumerate((*SPECIAL, *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))  # a word
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
    )
