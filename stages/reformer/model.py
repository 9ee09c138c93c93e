"""The Reformer language model: stock transformers' weights, our own arithmetic.

`Reformer` is transformers' `ReformerModelWithLMHead` with another forward pass: the modules only
hold the weights, so checkpoints go both ways. Read `Reformer.forward` first, then
`chunked_attention` (who sees whom) and `hashing` (how the buckets are drawn).

Shapes: B batch, L length, M hidden size, H heads, D head size, R hash rounds, V vocabulary.
"""

from collections.abc import Sequence
from functools import partial
from math import lcm
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ReformerConfig
from transformers.models.reformer.modeling_reformer import (
    ReformerModelWithLMHead,
    ReformerModelWithLMHeadOutput,
)

from stages.reformer.axial_positions import (
    check_length,
    drop_positions,
    embeddings_at,
    prefix_embeddings,
)
from stages.reformer.chunked_attention import (
    Causality,
    Geometry,
    HashedAttention,
    HashRule,
    LocalAttention,
    local_bias,
)
from stages.reformer.dropout import add_dropped, dropped_, relu_dropped_
from stages.reformer.hashing import (
    bucket_factors,
    draw_rotations,
    mixed_seed,
    recommended_buckets,
    rotation_seed,
)
from stages.reformer.reversible import ReversibleLayer, run_layers
from stages.study.errors import StudyError

Reversible = Literal["auto", "on", "off"]
PositionKind = Literal["axial", "learned", "published"]
Implementation = Literal["reformer-seqlen", "transformers"]


class Sites:
    """Numbers that tell a layer's dropout masks apart."""

    PROBABILITIES, ATTENTION, HIDDEN, FEED_FORWARD = range(4)
    WORDS, POSITIONS, HEAD = range(-3, 0)


class Pass(NamedTuple):
    """What all layers of one forward pass share."""

    dtype: torch.dtype  # of products and attention
    real: Tensor | None  # (B, L), False where a token is padding
    rotations: dict[int, Tensor]  # by layer: (H, D, R, S)
    factors: tuple[int, ...]  # of the number of buckets
    causality: Causality
    dropout: int | None  # seed of all masks, None in evaluation

    def mask_seed(self, layer: int, site: int) -> int | None:
        """The seed of one mask."""
        return None if self.dropout is None else mixed_seed(self.dropout, layer, site)


def local_branch(module: Any, index: int, run: Pass, bias: Tensor, hidden: Tensor) -> Tensor:
    """Attention over the own chunk and those before it. Hidden: (B, L, M)."""
    attention = module.self_attention
    geometry = _geometry(attention, hidden)
    tokens = _layer_norm(module.layer_norm, hidden, run.dtype).flatten(0, 1)
    queries = attention.query.weight * geometry.size**-0.5
    weight = torch.cat([queries, attention.key.weight, attention.value.weight])
    seed = run.mask_seed(index, Sites.PROBABILITIES)
    seeds = None if seed is None else [mixed_seed(seed, head) for head in range(geometry.heads)]
    outputs = LocalAttention.apply(
        tokens, weight.to(run.dtype), bias, geometry, attention.dropout, seeds
    )
    return _linear(module.output.dense, outputs).view(hidden.shape)


def lsh_branch(module: Any, index: int, run: Pass, memory: list[Tensor], hidden: Tensor) -> Tensor:
    """Attention over chunks of the order that hashing makes. Hidden: (B, L, M)."""
    attention = module.self_attention
    geometry = _geometry(attention, hidden)
    tokens = _layer_norm(module.layer_norm, hidden, run.dtype).flatten(0, 1)
    by_head = (geometry.heads, geometry.size)
    weight = torch.cat(
        [
            attention.query_key.weight.unflatten(0, by_head),
            attention.value.weight.unflatten(0, by_head),
        ],
        dim=1,
    ).flatten(0, 1)
    rule = HashRule(run.rotations[index], run.factors, run.causality, run.real)
    if run.causality == "published" and geometry.length <= geometry.chunk and not memory:
        # stock attends to everything before in a text of one chunk, without hashing
        memory.append(
            torch.zeros(
                geometry.batch,
                geometry.heads,
                1,
                geometry.length,
                dtype=torch.long,
                device=hidden.device,
            )
        )
        geometry = geometry._replace(chunk=geometry.length, before=0)
    outputs = HashedAttention.apply(
        tokens,
        weight.to(run.dtype),
        rule,
        geometry,
        attention.dropout,
        run.mask_seed(index, Sites.PROBABILITIES),
        memory,
    )
    return _linear(module.output.dense, outputs).view(hidden.shape)


def feed_forward_branch(module: Any, index: int, run: Pass, hidden: Tensor) -> Tensor:
    """Two dense layers. Hidden: (B, L, M)."""
    tokens = _layer_norm(module.layer_norm, hidden, run.dtype).flatten(0, 1)
    inner = _linear(module.dense.dense, tokens)
    inner = relu_dropped_(inner, module.dense.dropout, run.mask_seed(index, Sites.HIDDEN))
    return _linear(module.output.dense, inner).view(hidden.shape)


def _geometry(attention: Any, hidden: Tensor) -> Geometry:
    batch, length, _ = hidden.shape
    return Geometry(
        batch,
        length,
        attention.num_attention_heads,
        attention.attention_head_size,
        attention.chunk_length,
        attention.num_chunks_before,
    )


def _layer_norm(norm: nn.LayerNorm, hidden: Tensor, dtype: torch.dtype) -> Tensor:
    normed = F.layer_norm(hidden, norm.normalized_shape, norm.weight, norm.bias, norm.eps)
    return normed.to(dtype)


def _linear(dense: nn.Linear, inputs: Tensor) -> Tensor:
    bias = None if dense.bias is None else dense.bias.to(inputs.dtype)
    return F.linear(inputs, dense.weight.to(inputs.dtype), bias)


class Reformer(ReformerModelWithLMHead):  # type: ignore[misc]
    """transformers' Reformer, reproducible, at any length, causal if asked, and several times faster.

    The configuration may hold, beside stock's: `lsh_causality` (strict | published), `reversible`
    (auto | on | off), `positions` (axial | learned | published) and `lsh_num_buckets` (a number,
    factors, or None for those that the length recommends).
    """

    def __init__(self, config: ReformerConfig) -> None:
        self.causality: Causality = _option(config, "lsh_causality", Causality, "strict")
        self.reversible: Reversible = _option(config, "reversible", Reversible, "auto")
        super().__init__(config)
        self._check_config()
        self._draw: tuple[int, int] | None = None
        self._forwards = 0

    def set_hash_draw(self, seed: int, step: int = 0) -> None:
        """Choose the hash rotations and dropout masks from here on: pure functions of both numbers."""
        self._draw = (seed, step)
        self._forwards = 0

    def forward(  # type: ignore[override]
        self,
        input_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        past_buckets_states: Any = None,
        use_cache: bool | None = None,
        return_dict: bool | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> Any:
        """Logits (B, L, V) in float32 for input_ids (B, L), as stock's output type."""
        embedded, real = self._embed(input_ids, position_ids, attention_mask, inputs_embeds)
        length = (input_ids if input_ids is not None else cast("Tensor", inputs_embeds)).shape[1]
        run = self._start(embedded, real)
        with torch.autocast(embedded.device.type, enabled=False):
            first, second = self._run_layers(run, embedded)
            hidden = torch.cat([first, second], dim=-1)[:, :length]
            logits = self._head(run, hidden, logits_to_keep)
        loss = None
        if labels is not None:
            loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs
            )
        return ReformerModelWithLMHeadOutput(loss=loss, logits=logits)

    def save_pretrained(self, save_directory: str | Path, **kwargs: Any) -> None:
        """Save so that stock transformers loads it too: under the stock class's name."""
        super().save_pretrained(save_directory, **kwargs)
        self.config.architectures = [ReformerModelWithLMHead.__name__]
        self.config.save_pretrained(save_directory)

    def _check_config(self) -> None:
        config = self.config
        if "lsh" in config.attn_layers and self.causality == "strict":
            if config.lsh_num_chunks_before < 1:
                raise StudyError(
                    "lsh_num_chunks_before is 0: lsh_causality: strict looks back at least one "
                    "chunk. Set it to 1 or more, or choose lsh_causality: published."
                )
        chosen = getattr(config, "lsh_num_buckets", None)
        if chosen is not None:
            bucket_factors(chosen)

    def _chunk_multiple(self) -> int:
        lengths = {
            "lsh": self.config.lsh_attn_chunk_length,
            "local": self.config.local_attn_chunk_length,
        }
        return lcm(*(lengths[kind] for kind in set(self.config.attn_layers)))

    def _embed(
        self, input_ids: Tensor | None, position_ids: Tensor | None, attention_mask: Tensor | None,
        inputs_embeds: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:  # fmt: skip
        """Embeddings (B, L', M), padded to whole chunks, and which of them are real (B, L')."""
        if inputs_embeds is None:
            if input_ids is None:
                raise StudyError("the model was called without input_ids: pass a batch of ids.")
            inputs_embeds = self.reformer.embeddings.word_embeddings(input_ids)
        batch, length, _ = inputs_embeds.shape
        multiple = self._chunk_multiple()
        missing = -length % multiple
        if missing and self.training:
            raise StudyError(
                f"the text has {length} tokens, and training needs a multiple of {multiple} (the "
                f"chunk lengths' least common multiple): choose {length - length % multiple} or "
                f"{length + missing}."
            )
        tables = self.reformer.embeddings.position_embeddings
        embedded = inputs_embeds
        seed = self._dropout_seed() if self.training else None
        self._seed = seed
        embedded = dropped_(
            embedded,
            self.reformer.embeddings.dropout,
            None if seed is None else mixed_seed(seed, 0, Sites.WORDS),
        )
        if position_ids is None:
            check_length(tables, length)
            vectors = prefix_embeddings(tables, length)
            positions = drop_positions(
                tables,
                vectors,
                batch,
                None if seed is None else mixed_seed(seed, 0, Sites.POSITIONS),
            )
        else:
            positions = embeddings_at(tables, position_ids)
        embedded = embedded + positions
        real = None if attention_mask is None else attention_mask.to(torch.bool)
        if missing:
            embedded = F.pad(embedded, (0, 0, 0, missing))
            if real is None:
                real = torch.ones(batch, length, dtype=torch.bool, device=embedded.device)
            real = F.pad(real, (0, missing), value=False)
        return embedded, real

    def _dropout_seed(self) -> int:
        self._forwards += 1
        if self._draw is None:
            return int(torch.randint(2**62, ()).item())
        return mixed_seed(*self._draw, self._forwards)

    def _start(self, embedded: Tensor, real: Tensor | None) -> Pass:
        device = embedded.device.type
        dtype = (
            torch.get_autocast_dtype(device)
            if torch.is_autocast_enabled(device)
            else embedded.dtype
        )
        factors = self._factors(embedded.shape[1])
        config = self.config
        shape = (
            config.num_attention_heads,
            config.attention_head_size,
            config.num_hashes,
            sum(factors) // 2,
        )
        like = torch.empty(0, dtype=dtype, device=embedded.device)
        seed, step = self._draw or (config.hash_seed or 0, 0)
        rotations = {
            index: draw_rotations(rotation_seed(seed, step, index), shape, like)
            for index, kind in enumerate(config.attn_layers)
            if kind == "lsh"
        }
        return Pass(dtype, real, rotations, factors, self.causality, self._seed)

    def _factors(self, length: int) -> tuple[int, ...]:
        config = self.config
        chosen = getattr(config, "lsh_num_buckets", None)
        if chosen is None and self.causality == "published":
            chosen = config.num_buckets
        if chosen is not None:
            return bucket_factors(chosen)
        return recommended_buckets(length, config.lsh_attn_chunk_length)

    def _run_layers(self, run: Pass, hidden: Tensor) -> tuple[Tensor, Tensor]:
        config = self.config
        bias = None
        if "local" in config.attn_layers:
            local = next(
                layer.attention.self_attention
                for layer, kind in zip(self.reformer.encoder.layers, config.attn_layers)
                if kind == "local"
            )
            bias = local_bias(
                _geometry(local, hidden),
                run.real,
                torch.empty(0, dtype=run.dtype, device=hidden.device),
            )
        layers = []
        for index, layer in enumerate(self.reformer.encoder.layers):
            attention = (
                partial(lsh_branch, layer.attention, index, run, [])
                if config.attn_layers[index] == "lsh"
                else partial(local_branch, layer.attention, index, run, bias)
            )
            layers.append(
                ReversibleLayer(
                    attention,
                    partial(
                        add_dropped,
                        probability=layer.attention.output.dropout,
                        seed=run.mask_seed(index, Sites.ATTENTION),
                    ),
                    partial(feed_forward_branch, layer.feed_forward, index, run),
                    partial(
                        add_dropped,
                        probability=layer.feed_forward.output.dropout,
                        seed=run.mask_seed(index, Sites.FEED_FORWARD),
                    ),
                    tuple(layer.attention.parameters()),
                    tuple(layer.feed_forward.parameters()),
                )
            )
        if self.reversible == "on" and torch.is_grad_enabled():
            return run_layers(layers, hidden)
        first = second = hidden
        for reversible in layers:
            first = reversible.add_attention(first, reversible.attention(second))
            second = reversible.add_feed_forward(second, reversible.feed_forward(first))
        return first, second

    def _head(self, run: Pass, hidden: Tensor, logits_to_keep: int | Tensor) -> Tensor:
        normed = _layer_norm(self.reformer.encoder.layer_norm, hidden, run.dtype)
        normed = dropped_(normed, self.reformer.encoder.dropout, run.mask_seed(0, Sites.HEAD))
        keep = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = F.linear(normed[:, keep], self.lm_head.decoder.weight.to(run.dtype))
        return logits.float() + self.lm_head.bias


def _option(config: ReformerConfig, name: str, allowed: Any, default: str) -> Any:
    value = getattr(config, name, None) or default
    if value not in get_args(allowed):
        raise StudyError(
            f"{name} is {value!r} in the model's configuration: choose one of {', '.join(get_args(allowed))}."
        )
    return value


class StockReformer(ReformerModelWithLMHead):  # type: ignore[misc]
    """Stock transformers' Reformer, whose training obeys a seed. Its arithmetic is untouched.

    Stock draws every layer's dropout seed from the operating system, and its rotations from the
    global generator.
    """

    def __init__(self, config: ReformerConfig) -> None:
        super().__init__(config)
        self._draw: tuple[int, int] | None = None
        self._forwards = 0
        for layer in self.reformer.encoder.layers:
            layer._init_attention_seed = partial(_draw_layer_seed, layer, "attention_seed")
            layer._init_feed_forward_seed = partial(_draw_layer_seed, layer, "feed_forward_seed")

    def set_hash_draw(self, seed: int, step: int = 0) -> None:
        """Choose the hash rotations and dropout masks from here on: pure functions of both numbers."""
        self._draw = (seed, step)
        self._forwards = 0
        for index, layer in enumerate(self.reformer.encoder.layers):
            attention = layer.attention.self_attention
            if hasattr(attention, "hash_seed"):
                attention.hash_seed = rotation_seed(seed, step, index)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Stock's forward pass, from a known state of the global generator in training."""
        if self.training and self._draw is not None:
            self._forwards += 1
            torch.manual_seed(mixed_seed(*self._draw, self._forwards))
        return super().forward(*args, **kwargs)


def _draw_layer_seed(layer: Any, name: str) -> None:
    """Stand in for the methods of stock's layers that call torch.seed()."""
    seed = int(torch.randint(2**62, ()).item())
    setattr(layer, name, seed)
    torch.manual_seed(seed)


def load_reformer(
    folder: Path,
    *,
    implementation: Implementation = "reformer-seqlen",
    lsh_causality: Causality = "strict",
    positions: PositionKind = "axial",
    sequence_length: int,
    reversible: Reversible = "auto",
    num_hashes: int | None = None,
    num_buckets: int | Sequence[int] | None = None,
) -> "Reformer | StockReformer":
    """A checkpoint's model, made ready for texts of `sequence_length`."""
    if not (folder / "config.json").is_file() or not (folder / "model.safetensors").is_file():
        raise StudyError(
            f"{folder} holds no checkpoint: expected config.json and model.safetensors. "
            "Run the stage that writes it first."
        )
    config = ReformerConfig.from_pretrained(folder)
    state = load_file(folder / "model.safetensors")
    config.num_hashes = num_hashes or config.num_hashes
    config.lsh_causality, config.reversible, config.positions = lsh_causality, reversible, positions
    config.lsh_num_buckets = None
    if num_buckets is not None:
        config.num_buckets = config.lsh_num_buckets = list(bucket_factors(num_buckets))
    elif lsh_causality == "strict":
        config.lsh_num_buckets = list(
            recommended_buckets(sequence_length, config.lsh_attn_chunk_length)
        )
    _choose_positions(config, state, positions, sequence_length)
    model = Reformer(config) if implementation == "reformer-seqlen" else StockReformer(config)
    missing, unexpected = model.load_state_dict(state, strict=False)
    return model


_TABLE = "reformer.embeddings.position_embeddings."


def _choose_positions(
    config: ReformerConfig, state: dict[str, Tensor], positions: PositionKind, length: int
) -> None:
    """Set the configuration's position table, and drop the checkpoint's where it is another."""
    config.axial_pos_embds = positions == "axial"
    if positions == "learned":
        config.max_position_embeddings = length
    keep = _TABLE + ("weights." if positions == "axial" else "embedding.")
    for name in [name for name in state if name.startswith(_TABLE) and not name.startswith(keep)]:
        del state[name]


def create_reformer(config: ReformerConfig) -> Reformer:
    """A model with fresh weights, drawn from torch's global generator."""
    return Reformer(config)


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """How many parameters there are, and how many of them are the position table."""
    total = sum(parameter.numel() for parameter in model.parameters())
    table = sum(
        parameter.numel() for name, parameter in model.named_parameters() if name.startswith(_TABLE)
    )
    return {"total": total, "position_table": table, "without_positions": total - table}
