"""The models that are compared: ours, stock transformers' Reformer, GPT-2 and Llama.

All have the depth, the width and the vocabulary of google/reformer-crime-and-punishment and as
many positions as the text has tokens; fresh weights in float32. GPT-2 and Llama attend by torch's
scaled_dot_product_attention.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

from benchmarks.training import VOCABULARY, configuration, mean_nats
from reformer_seqlen.memory.configurations import first_layers
from reformer_seqlen.reformer.model import Reformer, StockReformer

NAMES = ("ours", "stock", "gpt2", "llama")
PRECISIONS = ("float32", "tf32", "bfloat16")
DROPOUT = 0.05  # as the Reformer's
NO_SPECIAL = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


@contextmanager
def products_in(precision: str) -> Iterator[None]:
    """Float32 products within the block, those of backward passes too, are in tf32 or are not."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def dtype_of(precision: str) -> str:
    """What `benchmarks.training` calls the dtype of a precision's products."""
    return "bfloat16" if precision == "bfloat16" else "float32"


def build(name: str, layers: int, length: int) -> Any:
    """One of the models, on the CPU.

    Args:
        name: one of NAMES.
        layers: how many.
        length: of the texts, in tokens.
    """
    reformer = configuration(length, "strict")
    if name in ("ours", "stock"):
        config = first_layers(reformer, layers)
        return Reformer(config) if name == "ours" else StockReformer(config)
    if name == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                vocab_size=VOCABULARY,
                n_positions=length,
                n_embd=reformer.hidden_size,
                n_layer=layers,
                n_head=reformer.num_attention_heads,
                n_inner=reformer.feed_forward_size,
                resid_pdrop=DROPOUT,
                embd_pdrop=DROPOUT,
                attn_pdrop=DROPOUT,
                attn_implementation="sdpa",
                **NO_SPECIAL,
            )
        )
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=VOCABULARY,
            max_position_embeddings=length,
            hidden_size=reformer.hidden_size,
            num_hidden_layers=layers,
            num_attention_heads=reformer.num_attention_heads,
            num_key_value_heads=reformer.num_attention_heads,
            intermediate_size=reformer.feed_forward_size,
            attention_dropout=DROPOUT,
            attn_implementation="sdpa",
            **NO_SPECIAL,
        )
    )


@dataclass
class Contestant:
    """A model with its optimizer, on its device.

    Attributes:
        called: what computes the forward pass: the model, or what torch.compile makes of it.
    """

    model: Any
    called: Any
    optimizer: torch.optim.Optimizer
    device: torch.device
    updates: int = 0

    def train(self, ids: Tensor, precision: str) -> Tensor:
        """One update on ids (B, L); its loss stays on the device, so nothing waits for it."""
        self._draw()
        self.model.train()
        loss = mean_nats(self.called, ids, dtype_of(precision))
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    @torch.no_grad()
    def evaluate(self, ids: Tensor, precision: str) -> Tensor:
        """The loss on ids (B, L)."""
        self._draw()
        self.model.eval()
        return mean_nats(self.called, ids, dtype_of(precision))

    def _draw(self) -> None:
        """New hashes, as training draws them for every update."""
        self.updates += 1
        if hasattr(self.model, "set_hash_draw"):
            self.model.set_hash_draw(0, self.updates)


def contestant(name: str, layers: int, length: int, device: torch.device) -> Contestant:
    """One of the models with AdamW, always with the same weights."""
    torch.manual_seed(0)
    model = build(name, layers, length).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    return Contestant(model, model, optimizer, device)


def random_ids(batch_size: int, length: int, device: torch.device) -> Tensor:
    """Token ids (B, L), always the same."""
    source = torch.Generator().manual_seed(0)
    ids = torch.randint(1, VOCABULARY, (batch_size, length), generator=source)
    return ids.to(device)


def synchronise(device: torch.device) -> None:
    """Wait until a GPU has done what it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize()
