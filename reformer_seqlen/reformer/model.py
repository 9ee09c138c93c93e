"""Reformers from configurations and checkpoints, with the options of params.yaml."""

from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any, Literal

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import ReformerConfig

from reformer_seqlen.reformer.activations import Reversible
from reformer_seqlen.reformer.hash_order import Causality
from reformer_seqlen.reformer.hashing import bucket_factors, recommended_buckets
from reformer_seqlen.reformer.language_model import Reformer
from reformer_seqlen.reformer.stock import StockReformer
from reformer_seqlen.runtime.messages import reformer as messages

__all__ = [
    "Reformer",
    "StockReformer",
    "configured",
    "create_reformer",
    "hash_buckets",
    "load_reformer",
    "parameter_counts",
]

PositionKind = Literal["axial", "learned", "published"]
Implementation = Literal["reformer-seqlen", "transformers"]

_TABLES = "reformer.embeddings.position_embeddings."
_AXIAL, _LEARNED = _TABLES + "weights.", _TABLES + "embedding.weight"


def create_reformer(
    config: ReformerConfig, implementation: Implementation = "reformer-seqlen"
) -> Reformer | StockReformer:
    """A model with fresh weights, drawn from torch's global generator."""
    return StockReformer(config) if implementation == "transformers" else Reformer(config)


def load_reformer(
    folder: Path, *, implementation: Implementation = "reformer-seqlen", **options: Any
) -> Reformer | StockReformer:
    """A checkpoint's model, for texts of one length.

    Args:
        folder: holds config.json and model.safetensors, as stock transformers writes them.
        implementation: our forward pass, or stock transformers'.
        options: see `configured`.

    Raises:
        StudyError: the folder holds no such checkpoint, or the options contradict it or each other.
    """
    for name in ("config.json", "model.safetensors"):
        if not (folder / name).is_file():
            raise messages.no_checkpoint(folder, name)
    config, state = _read_checkpoint(folder)
    config = configured(config, str(folder), implementation=implementation, **options)
    if config.positions != "axial":  # a table of another kind
        state = {name: table for name, table in state.items() if _AXIAL not in name}
    model = create_reformer(config, implementation)
    _fill(model, state, folder)
    return model


def configured(
    config: ReformerConfig,
    where: str,
    *,
    implementation: Implementation = "reformer-seqlen",
    lsh_causality: Causality = "strict",
    positions: PositionKind = "axial",
    sequence_length: int,
    reversible: Reversible = "auto",
    num_hashes: int | None = None,
    num_buckets: int | Sequence[int] | None = None,
) -> ReformerConfig:
    """A copy of a model's configuration, with the options applied.

    Args:
        config: of the checkpoint, not changed.
        where: the checkpoint's name in messages.
        implementation: our forward pass, or stock transformers'.
        lsh_causality: strict, where attention depends on the past alone, or published, stock's
            rule, where it depends on how later tokens hash.
        positions: axial uses a prefix of the checkpoint's axial tables; learned a table of
            `sequence_length` rows, fresh where the checkpoint has none; published a table of
            max_position_embeddings rows, fresh unless the checkpoint has it.
        sequence_length: of the texts, in tokens.
        reversible: see `Reformer`.
        num_hashes: hash rounds; None for the configuration's.
        num_buckets: a number or its factors; None for those that `sequence_length` recommends
            under `strict`, and for the configuration's under `published`.

    Raises:
        StudyError: the options contradict the configuration or each other.
    """
    config = ReformerConfig.from_dict(config.to_dict())
    _check_options(config, where, implementation, lsh_causality, reversible)
    config.lsh_causality, config.reversible, config.positions = lsh_causality, reversible, positions
    config.num_hashes = config.num_hashes if num_hashes is None else num_hashes
    _choose_buckets(config, num_buckets, sequence_length)
    _choose_positions(config, where, positions, sequence_length)
    return config


def _read_checkpoint(folder: Path) -> tuple[ReformerConfig, dict[str, Tensor]]:
    try:
        settings, _ = ReformerConfig.get_config_dict(folder)
        state = _known_names(load_file(folder / "model.safetensors"))
    except (OSError, SafetensorError) as error:
        raise messages.unreadable_checkpoint(folder, error) from error
    if settings.get("model_type") != ReformerConfig.model_type:
        raise messages.another_model_type(
            folder, settings.get("model_type"), ReformerConfig.model_type
        )
    return ReformerConfig.from_dict(settings), state


def _check_options(
    config: ReformerConfig, where: str, implementation: str, lsh_causality: str, reversible: str
) -> None:
    if implementation not in ("reformer-seqlen", "transformers"):
        raise messages.unknown_implementation(implementation)
    if implementation == "reformer-seqlen":
        return
    if lsh_causality == "strict" and "lsh" in config.attn_layers:
        raise messages.stock_is_not_strict(where)
    if reversible == "off":
        raise messages.stock_recomputes()


def _known_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's tensors under today's names: old ones had the output bias twice."""
    old = state.pop("lm_head.decoder.bias", None)
    if old is not None:
        state["lm_head.bias"] = old
    return {name: tensor for name, tensor in state.items() if "mask_value_float" not in name}


def _choose_buckets(
    config: ReformerConfig, num_buckets: int | Sequence[int] | None, sequence_length: int
) -> None:
    config.lsh_num_buckets = None
    if "lsh" not in config.attn_layers:  # nothing is hashed, and the settings may be None
        return
    recommended = list(recommended_buckets(sequence_length, config.lsh_attn_chunk_length))
    if num_buckets is not None:
        config.lsh_num_buckets = list(bucket_factors(num_buckets))
        if config.lsh_causality == "published":
            config.num_buckets = config.lsh_num_buckets  # what stock reads
    elif config.lsh_causality == "strict":
        config.lsh_num_buckets = recommended
    elif config.num_buckets is None:
        # stock would choose by its first text's length, and keep that for all later ones
        config.num_buckets = recommended


def _choose_positions(config: ReformerConfig, where: str, positions: str, length: int) -> None:
    """Set the configuration's position table."""
    if positions not in ("axial", "learned", "published"):
        raise messages.unknown_positions(positions)
    if positions == "axial":
        if not config.axial_pos_embds:
            raise messages.no_axial_tables(where)
        limit = prod(config.axial_pos_shape)
        if length > limit:
            raise messages.beyond_axial_tables(where, length, limit)
        return
    config.axial_pos_embds = False
    if positions == "learned":
        config.max_position_embeddings = length


def _fill(model: nn.Module, state: dict[str, Tensor], folder: Path) -> None:
    """Load a checkpoint's tensors; a learned position table may be longer or shorter."""
    own = model.state_dict()
    if _LEARNED in own:
        table = own[_LEARNED].clone()
        trained = state.get(_LEARNED, table[:0])[: len(table)]
        table[: len(trained)] = trained
        state[_LEARNED] = table
    wrong = sorted(
        name
        for name in own.keys() | state.keys()
        if name not in own or name not in state or own[name].shape != state[name].shape
    )
    if wrong:
        raise messages.wrong_tensors(folder, wrong)
    model.load_state_dict(state)


def hash_buckets(model: Reformer | StockReformer) -> int | None:
    """How many buckets lsh layers hash into; None without such layers or if it varies by text."""
    config = model.config
    chosen = getattr(config, "lsh_num_buckets", None)
    if isinstance(model, StockReformer) or model.causality == "published":
        chosen = chosen or config.num_buckets
    if chosen is None or "lsh" not in config.attn_layers:
        return None
    return prod(bucket_factors(chosen))


def parameter_counts(model: nn.Module) -> dict[str, int]:
    """The number of all parameters, of position parameters, and of the others."""
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    total = sum(sizes.values())
    table = sum(size for name, size in sizes.items() if name.startswith(_TABLES))
    return {"total": total, "position_table": table, "without_positions": total - table}
