"""How much faster than stock transformers this Reformer trains: `python -m benchmarks.training`.

Both are timed in one process, in turn, with the architecture of
google/reformer-crime-and-punishment, the same weights, batches, loss and optimizer, and dropout on.
A training step is forward, backward and AdamW; an evaluation is a forward pass without gradients.

Prints a table with a row for every case, how much longer ours takes for a token of the longest
texts than of the shortest, what strictly causal attention costs, and the rates of generation. The
last line is JSON: an object for every case. `share_of_limit` is ours as a share of the rate at
which this machine could train if it did nothing but a training step's matrix products.

What to know when reading the figures:

- Positions are a table of the text's length, since stock can't train axial ones at any length.
- Ours attends strictly causally; `--lsh-causality published` chooses stock's rule.
- Under strict, ours hashes into 2 x length / chunk buckets, stock into 8,192.
- Under bfloat16, ours still multiplies in float32 on processors where that is faster
  (`reformer_seqlen.reformer.precision`); stock always multiplies in bfloat16.

Results, and what was tried to improve them, are in benchmarks/LOG.md.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import ReformerConfig, logging

from reformer_seqlen.reformer.crime_and_punishment import CRIME_AND_PUNISHMENT
from reformer_seqlen.reformer.model import Reformer, StockReformer
from reformer_seqlen.runtime import console, process

VOCABULARY = 320
CHUNK = 64  # of the architecture's attention
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Case:
    """A batch's shape, dtype and rule of attention."""

    batch_size: int
    sequence_length: int
    dtype: str
    lsh_causality: str

    @property
    def tokens(self) -> int:
        """Tokens of a batch."""
        return self.batch_size * self.sequence_length

    @property
    def shape(self) -> str:
        """Batch size x sequence length."""
        return f"{self.batch_size} x {self.sequence_length}"


@dataclass(frozen=True)
class Contestant:
    """A model with its optimizer."""

    model: Reformer | StockReformer
    optimizer: torch.optim.Optimizer


def configuration(length: int, lsh_causality: str) -> ReformerConfig:
    """The architecture of google/reformer-crime-and-punishment, with a learned position table."""
    settings = {
        **CRIME_AND_PUNISHMENT,
        "axial_pos_embds": False,
        "max_position_embeddings": length,
        "lsh_causality": lsh_causality,
    }
    return ReformerConfig(vocab_size=VOCABULARY, **settings)


def contestants(case: Case) -> tuple[Contestant, Contestant]:
    """Stock and ours, with equal weights."""
    torch.manual_seed(0)
    config = configuration(case.sequence_length, case.lsh_causality)
    stock, ours = StockReformer(config), Reformer(config)
    ours.load_state_dict(stock.state_dict())

    def with_optimizer(model: Any) -> Contestant:
        return Contestant(model, torch.optim.AdamW(model.parameters(), 1e-3, fused=True))

    return with_optimizer(stock), with_optimizer(ours)


def training_step(contestant: Contestant, ids: Tensor, dtype: str) -> float:
    """The loss of one update on ids (batch, length)."""
    contestant.model.train()
    loss = mean_nats(contestant.model, ids, dtype)
    loss.backward()
    contestant.optimizer.step()
    contestant.optimizer.zero_grad()
    return loss.item()


@torch.no_grad()
def evaluation(contestant: Contestant, ids: Tensor, dtype: str) -> float:
    """The loss on ids (batch, length)."""
    contestant.model.eval()
    return mean_nats(contestant.model, ids, dtype).item()


def mean_nats(model: Any, ids: Tensor, dtype: str) -> Tensor:
    """Cross-entropy of the next token, in float32."""
    with torch.autocast(ids.device.type, dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
        logits = model(ids, use_cache=False).logits
    return F.cross_entropy(logits.float().flatten(0, 1), ids.roll(-1, dims=1).flatten())


def timed(call: Callable[..., object], *arguments: Any, **options: Any) -> float:
    """Seconds that a call takes."""
    begin = time.perf_counter()
    call(*arguments, **options)
    return time.perf_counter() - begin


def matrix_product_rate(dtype: str) -> float:
    """The best floating-point operations per second of a product in `dtype` or float32."""
    allowed = {DTYPES[dtype], torch.float32}
    rates = []
    for kind in allowed:
        left, right = torch.ones(4096, 512, dtype=kind), torch.ones(512, 512, dtype=kind)
        best = min(timed(torch.mm, left, right) for _ in range(20))
        rates.append(2 * 4096 * 512 * 512 / best)
    return max(rates)


def training_operations(model: Reformer | StockReformer) -> int:
    """Floating-point operations of a training step's products per token."""
    config = model.config
    dense = sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and "embeddings" not in name
    )
    for kind in config.attn_layers:
        rounds = config.num_hashes if kind == "lsh" else 1
        before = getattr(config, f"{kind}_num_chunks_before")
        window = (1 + before) * getattr(config, f"{kind}_attn_chunk_length")
        dense += 2 * rounds * window * config.num_attention_heads * config.attention_head_size
    return int(2 * 3 * dense)


def measure(case: Case, repeats: int) -> dict[str, Any]:
    """Time stock and ours in turn; the first pair warms up."""
    stock, ours = contestants(case)
    seconds: dict[tuple[str, str], list[float]] = {}
    for repeat in range(repeats + 1):
        ids = torch.randint(VOCABULARY, (case.batch_size, case.sequence_length))
        ours.model.load_state_dict(stock.model.state_dict())
        for task, call in (("training", training_step), ("evaluation", evaluation)):
            for name, contestant in (("stock", stock), ("ours", ours)):
                contestant.model.set_hash_draw(0, repeat)
                spent = timed(call, contestant, ids, case.dtype)
                if repeat:
                    seconds.setdefault((task, name), []).append(spent)
    result: dict[str, Any] = {
        "batch_size": case.batch_size,
        "sequence_length": case.sequence_length,
        "dtype": case.dtype,
        "lsh_causality": case.lsh_causality,
        **_compared(case, seconds, "training", ""),
        **_compared(case, seconds, "evaluation", "evaluation_"),
    }
    operations = result["ours_tokens_per_second"] * training_operations(ours.model)
    result["share_of_limit"] = round(operations / matrix_product_rate(case.dtype), 3)
    return result


def _compared(
    case: Case, seconds: dict[tuple[str, str], list[float]], task: str, prefix: str
) -> dict[str, float]:
    stock, ours = seconds[task, "stock"], seconds[task, "ours"]
    return {
        f"{prefix}stock_tokens_per_second": round(case.tokens / median(stock)),
        f"{prefix}ours_tokens_per_second": round(case.tokens / median(ours)),
        f"{prefix}ratio": round(median(s / o for s, o in zip(stock, ours, strict=True)), 2),
    }


def generation_rates(prompt: int, pieces: int, lsh_causality: str) -> tuple[float, float]:
    """New tokens per second of stock and ours, continuing one text greedily."""
    case = Case(1, 2048, "float32", lsh_causality)
    ids = torch.randint(1, VOCABULARY, (1, prompt))
    rates = []
    for contestant in contestants(case):
        model: Any = contestant.model.eval()
        model.set_hash_draw(0)
        options = {"max_new_tokens": pieces, "do_sample": False, "eos_token_id": None}
        with redirect_stdout(StringIO()):  # stock prints a warning for every token
            rates.append(pieces / timed(model.generate, ids, **options))
    return rates[0], rates[1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure every case and print a table and the JSON line."""
    from tabulate import tabulate  # here, as other benchmarks use this module without it

    parser = _parser()
    options = parser.parse_args(arguments)
    if any(length < 1 or length % CHUNK for length in options.lengths):
        parser.error(f"--lengths must be multiples of {CHUNK}")
    if min(*options.batch_sizes, options.repeats) < 1:
        parser.error("--batch-sizes and --repeats must be at least 1")
    logging.set_verbosity_error()
    results = []
    for length in options.lengths:
        for batch_size in options.batch_sizes:
            if batch_size * length > options.most_tokens:
                print(f"skipped {batch_size} x {length}: more than --most-tokens")
                continue
            for dtype in options.dtypes:
                case = Case(batch_size, length, dtype, options.lsh_causality)
                results.append(measure(case, options.repeats))
                print(f"measured {case.shape} {dtype}", flush=True)
    print(tabulate(results, headers="keys"))
    for dtype in options.dtypes:
        print_growth(options, dtype)
        print_cost_of_strict(options, dtype)
    if options.generate:
        stock, ours = generation_rates(120, options.generate, options.lsh_causality)
        print(f"generation: {stock:.0f} tokens/s with stock, {ours:.0f} with ours")
    print(json.dumps(results))


def print_growth(options: argparse.Namespace, dtype: str) -> None:
    """How much longer ours takes for a token of one longest text than of as many in short ones."""
    shortest, longest = min(options.lengths), max(options.lengths)
    if shortest < longest:
        long, short = (
            Case(longest // length, length, dtype, options.lsh_causality)
            for length in (longest, shortest)
        )
        more = extra_time(long, short, options.repeats)
        print(
            f"{dtype}: a token takes {more:+.0%} of training time at {longest} against {shortest}"
        )


def print_cost_of_strict(options: argparse.Namespace, dtype: str) -> None:
    """How much longer ours takes for a token under strict than under published, at each length."""
    for length in options.lengths:
        fitting = [size for size in options.batch_sizes if size * length <= options.most_tokens]
        if fitting:
            strict, published = (
                Case(max(fitting), length, dtype, rule) for rule in ("strict", "published")
            )
            more = extra_time(strict, published, options.repeats)
            print(f"{dtype}: strict takes {more:+.0%} of training time at {strict.shape}")


def extra_time(one: Case, other: Case, repeats: int) -> float:
    """How much longer ours takes for a token of one case than of the other, timed in turn."""
    ours = [(case, contestants(case)[1]) for case in (one, other)]
    ratios = []
    for repeat in range(repeats + 1):
        spent = []
        for case, contestant in ours:
            ids = torch.randint(VOCABULARY, (case.batch_size, case.sequence_length))
            contestant.model.set_hash_draw(0, repeat)
            spent.append(timed(training_step, contestant, ids, case.dtype) / case.tokens)
        ratios.append(spent[0] / spent[1])
    return median(ratios[1:]) - 1  # the first pair warms up


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--lengths", type=int, nargs="+", default=[256, 2048, 16384])
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--dtypes", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    parser.add_argument("--repeats", type=int, default=5, help="pairs after one that warms up")
    parser.add_argument(
        "--most-tokens", type=int, default=32768, help="larger batches are left out"
    )
    parser.add_argument("--lsh-causality", choices=["strict", "published"], default="strict")
    parser.add_argument(
        "--generate", type=int, default=60, metavar="TOKENS", help="to generate; 0 for none"
    )
    return parser


if __name__ == "__main__":
    process.imported()
    console.run(main)
