"""Part 1: is it correct? Logits and gradients against float64, causality, and the same bytes.

What is compared with `reference.Reference` attends by the same buckets as it does, and both let the
same hidden units pass: in float32 a vector between two buckets may fall into the other one, and a
unit near 0 to the other side of relu's bend, where its gradient comes or goes. That says nothing of
the arithmetic; how often it happens is a result of its own.
"""

import hashlib
import os
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import functional as F
from transformers import ReformerConfig

from benchmarks.gpu.contestants import products_in
from benchmarks.gpu.decisions import Hashes, Units
from benchmarks.gpu.record import Record
from benchmarks.gpu.reference import Reference
from benchmarks.training import VOCABULARY
from reformer_seqlen.reformer.model import Reformer
from reformer_seqlen.training.determinism import make_deterministic

MOST_ERROR = {"logits": 1e-4, "gradients": 1e-3}
"""In float32, of the largest number of a tensor; a wrong sign is of the order of 1."""
MOST_OTHER_BUCKETS = 1e-3
"""Share of the vectors that may fall into another bucket in float32 than in float64."""
MOST_OTHER_UNITS = 1e-4
"""Share of the hidden units that may be at another side of 0."""
DRAW = (3, 5)  # seed and step of the hashes
UPDATES = 6


@dataclass(frozen=True)
class Sizes:
    """Of the models and texts."""

    hidden_size: int
    heads: int
    head_size: int
    chunk: int
    batch_size: int
    length: int


SIZES = {
    "cuda": Sizes(hidden_size=256, heads=2, head_size=64, chunk=64, batch_size=2, length=384),
    "cpu": Sizes(hidden_size=32, heads=2, head_size=16, chunk=16, batch_size=2, length=128),
}


@dataclass(frozen=True)
class Case:
    """A model and a batch to compare."""

    layers: tuple[str, ...]
    lsh_causality: Literal["strict", "published"] = "strict"
    rounds: int = 1
    padding: bool = False
    positions: Literal["learned", "axial"] = "learned"
    reversible: Literal["off", "on"] = "off"


LOCAL, LSH, BOTH = ("local", "local"), ("lsh", "lsh"), ("local", "lsh")
CASES = (
    Case(LOCAL),
    Case(LSH),
    Case(LSH, rounds=4),
    Case(LSH, "published"),
    Case(LSH, "published", rounds=4),
    Case(BOTH, rounds=4, padding=True),
    Case(BOTH, "published", rounds=4, padding=True),
    Case(BOTH, padding=True, positions="axial", reversible="on"),
)
DISTANT = (Case(BOTH), Case(BOTH, "published"))
"""What the distance of other number formats is measured on."""


def run(device: torch.device, record: Record) -> None:
    """Check everything, the most telling first."""
    # cuBLAS reads it when it starts, and then computes the same in every run
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    sizes = SIZES[device.type]
    for case in CASES:
        compare(record, case, "float32", sizes, device)
    place = {"check": "cached generation", "precision": "float32"}
    row = record.attempt("checks", place, partial(generated, sizes, device))
    record_check(record, place, row)
    for precision in ("float32", "bfloat16"):
        for rounds in (1, 4):
            place = {"check": f"causality, rounds {rounds}", "precision": precision}
            row = record.attempt("checks", place, partial(causal, sizes, rounds, precision, device))
            record_check(record, place, row)
    for case in DISTANT:
        for precision in ("tf32", "bfloat16"):
            compare(record, case, precision, sizes, device)
    make_deterministic(torch.get_num_threads())
    for precision in ("float32", "bfloat16"):
        place = {"check": "same seed, same bytes", "precision": precision}
        row = record.attempt("checks", place, partial(repeated, sizes, precision, device))
        record_check(record, place, row)


def compare(record: Record, case: Case, precision: str, sizes: Sizes, device: torch.device) -> None:
    """Add a case's row; outside float32 its distance is shown and not judged."""
    place = {**asdict(case), "layers": " ".join(case.layers), "precision": precision}
    row = record.attempt("errors", place, partial(errors, case, precision, sizes, device))
    if row is not None:
        record.row("errors", {**place, **row, "passed": judged(row, precision)})


def record_check(record: Record, place: dict[str, Any], row: dict[str, Any] | None) -> None:
    """Add a check's row, unless it failed to run and has one already."""
    if row is not None:
        record.row("checks", {**place, **row})


def judged(row: dict[str, float], precision: str) -> bool | None:
    """Whether errors are as small as float32's; None where the precision is another."""
    if precision != "float32":
        return None
    small = all(row[f"{name}_peak_error"] <= most for name, most in MOST_ERROR.items())
    return (
        small
        and row["other_buckets"] <= MOST_OTHER_BUCKETS
        and row["other_units"] <= MOST_OTHER_UNITS
    )


def is_right(results: dict[str, Any]) -> bool:
    """Whether all that was to be checked was, and is right."""
    rows = [*results.get("errors", []), *results.get("checks", [])]
    judged_rows = [row for row in rows if row.get("precision") == "float32" or "check" in row]
    return bool(judged_rows) and all(row.get("passed") for row in judged_rows)


def model_of(case: Case, sizes: Sizes, dropout: float = 0.0) -> Reformer:
    """A model that is always the same, with larger weights than fresh ones.

    Those attend to everything alike, and would hide mistakes.
    """
    torch.manual_seed(0)
    width, columns = sizes.hidden_size // 4, sizes.chunk
    config = ReformerConfig(
        attn_layers=list(case.layers),
        hidden_size=sizes.hidden_size,
        num_attention_heads=sizes.heads,
        attention_head_size=sizes.head_size,
        feed_forward_size=2 * sizes.hidden_size,
        vocab_size=VOCABULARY,
        local_attn_chunk_length=sizes.chunk,
        lsh_attn_chunk_length=sizes.chunk,
        num_hashes=case.rounds,
        num_buckets=8,
        lsh_num_buckets=8,
        lsh_causality=case.lsh_causality,
        reversible=case.reversible,
        max_position_embeddings=sizes.length,
        axial_pos_embds=case.positions == "axial",
        axial_pos_shape=(sizes.length // columns, columns),
        axial_pos_embds_dim=(width, sizes.hidden_size - width),
        hidden_dropout_prob=dropout,
        local_attention_probs_dropout_prob=dropout,
        lsh_attention_probs_dropout_prob=dropout,
        is_decoder=True,
    )
    model = Reformer(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    model.set_hash_draw(*DRAW)
    return model


def batch_of(sizes: Sizes, padding: bool = False, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Token ids and which of them are real, both (B, L): padding is left and right."""
    source = torch.Generator().manual_seed(seed)
    shape = (sizes.batch_size, sizes.length)
    ids = torch.randint(1, VOCABULARY, shape, generator=source)
    real = torch.ones(shape, dtype=torch.bool)
    if padding:
        real[0, : sizes.length // 5] = False
        real[-1, -(sizes.length // 3) :] = False
    return ids, real


def errors(case: Case, precision: str, sizes: Sizes, device: torch.device) -> dict[str, float]:
    """How far logits and gradients are from float64, and how much falls to another side there."""
    model = model_of(case, sizes)
    ids, real = batch_of(sizes, case.padding)
    reference = Reference(model, *DRAW)
    with torch.no_grad():
        reference.logits(ids, real)
    model.to(device).train()
    mask = real.to(device) if case.padding else None
    hashes, units = Hashes(reference.buckets), Units(ids.shape, len(case.layers))
    with products_in(precision), hashes.taken(), units.watched():
        with autocast(precision, device):
            logits = model(ids.to(device), attention_mask=mask, use_cache=False).logits
        found = logits[real.to(device)]
        loss(found, ids[real].to(device)).backward()
    expected = reference.logits(ids, real, units.passing)[real]
    loss(expected, ids[real]).backward()
    gradients = [
        relative(parameter.grad.cpu(), right.grad)
        for parameter, right in zip(model.parameters(), reference.model.parameters(), strict=True)
        if right.grad is not None and right.grad.any()
    ]
    peak, mean = relative(found.detach().cpu(), expected.detach())
    return {
        "logits_peak_error": peak,
        "logits_mean_error": mean,
        "gradients_peak_error": max(peak for peak, _ in gradients),
        "gradients_mean_error": sum(mean for _, mean in gradients) / len(gradients),
        "other_buckets": hashes.others,
        "other_units": reference.other_units,
    }


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Products within the block are in bfloat16 if the precision says so."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def loss(logits: Tensor, ids: Tensor) -> Tensor:
    """Cross-entropy of some target for each of the logits (N, V): here, the next row's token."""
    return F.cross_entropy(logits, ids.roll(-1))


def relative(found: Tensor, right: Tensor) -> tuple[float, float]:
    """The largest and the mean error, as shares of the largest number."""
    error, largest = (found.double() - right).abs(), right.abs().max()
    return float(error.max() / largest), float(error.mean() / largest)


def generated(sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """How far the logits of tokens that are added one by one are from those of the whole text."""
    model = model_of(Case(BOTH, rounds=4), sizes).eval()
    ids, real = batch_of(sizes)
    reference = Reference(model, *DRAW)
    with torch.no_grad():
        expected = reference.logits(ids, real)
    model.to(device)
    begin = sizes.length - sizes.chunk - sizes.chunk // 2
    hashes, found, ids = Hashes(reference.buckets), [], ids.to(device)
    with torch.no_grad(), hashes.taken():
        output = model(ids[:, :begin], use_cache=True)
        for hashes.position in range(begin, sizes.length):
            token = ids[:, hashes.position : hashes.position + 1]
            output = model(token, past_buckets_states=output.past_buckets_states)
            found.append(output.logits.cpu())
    peak, mean = relative(torch.cat(found, dim=1), expected[:, begin:])
    right = peak <= MOST_ERROR["logits"]
    return {"logits_peak_error": peak, "logits_mean_error": mean, "passed": right}


def causal(sizes: Sizes, rounds: int, precision: str, device: torch.device) -> dict[str, Any]:
    """By how much later tokens change earlier logits, which is exactly 0."""
    model = model_of(Case(BOTH, rounds=rounds), sizes).to(device).eval()
    ids, other = (batch_of(sizes, seed=seed)[0].to(device) for seed in (0, 1))
    before, after = 0.0, []
    with torch.no_grad(), autocast(precision, device):
        logits = model(ids, use_cache=False).logits
        for cut in (1, sizes.chunk - 1, sizes.length // 2 + 1, sizes.length - 1):
            changed = torch.cat([ids[:, :cut], other[:, cut:]], dim=1)
            difference = (model(changed, use_cache=False).logits - logits).abs()
            before = max(before, float(difference[:, :cut].max()))
            after.append(float(difference[:, cut:].max()))
    right = before == 0 and min(after) > 0
    return {"earlier_change": before, "later_change": min(after), "passed": right}


def repeated(sizes: Sizes, precision: str, device: torch.device) -> dict[str, Any]:
    """Whether a training gives the same bytes again, and when stopped and resumed."""
    once = trained(sizes, precision, device)
    again = trained(sizes, precision, device)
    resumed = trained(sizes, precision, device, stop_after=UPDATES // 2)
    return {
        "again": once == again,
        "resumed": once == resumed,
        "sha256": once[:16],
        "passed": once == again == resumed,
    }


def trained(sizes: Sizes, precision: str, device: torch.device, stop_after: int = UPDATES) -> str:
    """The sha256 of the weights after some updates with dropout, stopped and resumed in between."""
    model = model_of(Case(BOTH), sizes, dropout=0.1).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    for update in range(UPDATES):
        if update == stop_after:
            kept = save(model.state_dict()), deepcopy(optimizer.state_dict())
            torch.manual_seed(99)
            model = model_of(Case(BOTH), sizes, dropout=0.1).to(device).train()
            model.load_state_dict(load(kept[0]))
            optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
            optimizer.load_state_dict(kept[1])
        ids = batch_of(sizes, seed=update)[0].to(device)
        model.set_hash_draw(DRAW[0], update)
        with autocast(precision, device):
            logits = model(ids, use_cache=False).logits
        loss(logits.flatten(0, 1), ids.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return hashlib.sha256(save(model.state_dict())).hexdigest()
