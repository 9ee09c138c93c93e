"""How much faster than stock transformers this Reformer trains: `python -m benchmarks.training`.

Both are timed in one process, in turn, with the published architecture, the same weights, batches,
loss and optimizer, and dropout on. A training step is forward, backward and AdamW; an evaluation
is a forward pass without gradients. The last line is JSON: one object for every case. All of it
takes 6.2 minutes on two idle cores; 19 were seen on cores shared with three other jobs.

Ratios on two cores, float32 / bfloat16:

- AMD Zen 5, whose products reach 209 / 990 GFLOP/s: 16 x 256 2.25 / 4.64, 16 x 2,048 2.51 / 5.81,
  1 x 16,384 2.04 / 4.22, 1 x 2,048 1.97 / 3.66, 1 x 256 2.01 / 2.77; evaluation 1.2 to 1.4;
  generation 139 and 410 tokens/s. A token took 12 / 17 % more time at 16,384 than at 256, and -1 to
  +4 / -1 to +6 % more under strict than under published.
- Intel Emerald Rapids without AMX, 310 / 165 GFLOP/s, before buckets started at chunks: 16 x 256
  2.98 / 3.08, 16 x 2,048 3.86 / 3.85 (in parts of 4 texts), 1 x 16,384 2.73 / 2.81; evaluation 1.4
  to 2.0; generation 93 and 216 tokens/s. 3.5 is out of reach for bfloat16 at 16 x 256 there: its
  products are slower than float32's, so ours computes in float32.

What to know when reading the figures:

- Positions are a table of the text's length, since stock can't train axial ones at any length.
- Ours attends strictly causally (`--lsh-causality published` for stock's rule).
- Under strict, ours hashes into 2 x length / chunk buckets, stock into the published 8,192.
- Batches are passed whole, as the training stage does.
- With bfloat16, processors that multiply it slower than float32 compute our products in float32
  (`reformer_seqlen.reformer.precision`); stock always does what autocast says.
- bfloat16 costs no quality that can be told from chance: on the AMD, training and scoring the quick
  study's nine runs with it changed perplexity by -0.33 to +0.12 % on validation and by -0.20 to
  +0.26 % on test, in the mean by -0.04 and +0.02 %. It trained them 1.6 to 2.3 times as fast.
- `share_of_limit` compares ours with a machine that did nothing but the products of a training
  step, at the best rate that this one reaches here in a type that the case allows.

What made the difference, on two cores of an Intel Emerald Rapids without AMX, where products in
float32 reach 310 GFLOP/s: no second forward pass, masks of random bytes instead of Bernoulli
draws, windows that are views of one buffer (in float32), rows gathered by index_select, and
gradients by hand, which need half of the passes over memory. A thread for each part of the batch,
instead of all threads for each operation: 1.3 to 1.4 times as many tokens/s on a busy machine,
where threads wait for each other most, and 1.07 to 1.13 times at its quietest. Freed memory that
stays with the process (runtime/heap.py) and factors inside products: 1.02 times at 16 x 256 and
16 x 2,048, 1.03 to 1.13 times at 1 x 16,384. Stock gains from that memory, too: up to 1.02 times in
float32, 1.04 in bfloat16. Of what is left on one core, the products' kernels are 56 % (at 174
GFLOP/s), packing for them 7 %, passes over memory about 25 %, and Python and torch's dispatch the
rest.

On one core of an AMD Zen 5, for 752 chunks of 16 queries and windows of 80 keys: gradients added
over windows as one product of skewed weights, not window by window, take 1.7 ms instead of 3.9 in
float32, 1.0 instead of 1.5 in bfloat16. Windows copied once for bfloat16 products, instead of by
every product: 0.7 ms instead of 1.8 for scores.

What did not pay there:

- Strict chunks of 8 or 32 queries instead of 16, which fill up buckets with fewer or more rows: a
  forward pass of 2 x 2,048 tokens takes 5.3 or 8.9 ms instead of 7.0 in float32, 6.6 or 6.8 instead
  of 6.7 in bfloat16; of 1 x 16,384 in bfloat16 67 or 33 ms instead of 29.
- Large batches in parts of 8,192 tokens, whose gradients add up: 1.10 times as fast at 16 x 2,048
  in float32, 1.05 times in bfloat16. Training would have to weigh the parts of an epoch's last
  batch.

What was tried on the Intel and did not pay:

- torch.compile of the whole model, which is one graph for all draws: 44 s until the first training
  step, then 455 ms for 8 x 256 on one thread against 380 ms; 475 ms for 16 x 256 on two against
  460 ms, and against 350 ms with a thread for each part. Evaluation: 18 to 23 s, then as fast.
- torch.compile of single functions between products (2,048 tokens, one core): relu with dropout
  0.29 ms against 0.67 ms, which is 1 % of a step; adding to the stream 0.32 against 0.33 ms, the
  way back 0.37 against 0.33 ms, layer norm backwards 0.52 against 0.52 ms.
- bfloat16 products: 165 GFLOP/s, half of float32's. Training ran at 7,700 tokens/s instead of
  11,200, which is why they are only used where the processor is known to gain.
- scaled_dot_product_attention over chunks (its flash kernel): forward as fast (2.65 ms for 128
  chunks on one core), backward 15 % slower (5.5 ms against 4.8 ms), and no dropout.
- Dense layers token block by token block (512 to 4,096), to stay in the cache: 340 to 350 ms
  against 330 ms for a step of 8 x 256 on one core; more calls eat what the cache gives.
- The whole feed-forward layer as one function, block by block: of 128, 256, 512, 1,024 and 4,096
  tokens 352, 358, 350, 351 and 353 ms of processor time for 8 x 256 on one core, against 326 to
  347 ms layer by layer.
- A thread for each part of batches of less than 2,048 tokens: 6,400 tokens/s against 7,200 at
  4 x 128 on a nearly idle machine, as Python runs in one thread at a time.
- Other allocators, beside memory that is kept: tcmalloc 1.03 to 1.04 times as fast, jemalloc 1.02
  times. They give the same block back while it is in the cache, but would be one more thing to
  install.
- Weight gradients as the transposed product, which is up to a third faster by itself (113 and 156
  GFLOP/s for 128 x 256): 2 % slower, as each gradient is copied into the parameter's layout.
- Masks applied by where or masked_fill: 1.16 and 1.34 ms for 2,048 x 512 numbers, against 0.49 ms
  for bytes to numbers and a product.
- Other generators of random bytes: for 1 MiB numpy's SFC64, which is used, takes 0.22 ms, PCG64DXSM
  0.26, PCG64 0.28, MT19937 0.37, Philox 0.48, torch's random_ 0.50; bernoulli_ 6 ms.
- float16 products: float32's rate (190 GFLOP/s on a core that reaches 180), so nothing to gain.
- Masks drawn by torch's generator, which runs beside other threads: three times as slow alone
  (151 ms against 52 ms for 20 x 8 MiB), and still slower beside each other (233 against 133 ms).
- Words and positions embedded by the threads of the parts: 1.005 times as fast.
- Dropped places drawn as gaps instead of masks: 0.48 ms against 0.77 ms for 2,048 x 512 numbers,
  no difference for fewer; together 1 % of a step.
- Relu with dropout on 256 tokens at a time: less than 1.01 times as fast.
- oneDNN with weights packed beforehand: 153 to 166 GFLOP/s on one core, against 155 to 166.
- Normalising again in the backward pass instead of keeping the result: 350 against 335 ms.
- Masks of 16 random bits an element instead of 8: 5 % of the step, with no better probability,
  as the threshold is drawn, too.
- Products into new tensors and then copied, instead of into strided views: half the time for the
  product alone, nothing for the step (365 against 369 ms).
- Huge pages (glibc.malloc.hugetlb=1): no difference (330 ms).
- torch.set_flush_denormal: 2 % of the step, for a setting of the whole process.
- Threads that sleep while they wait (OMP_WAIT_POLICY=PASSIVE): 7,500 tokens/s instead of 11,500
  on an idle machine; threads that spin long fall to a tenth of that on a busy one. A short spin
  gives 10,300 and stays fair: `stages` sets GOMP_SPINCOUNT.
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
from tabulate import tabulate
from torch import Tensor
from torch.nn import functional as F
from transformers import ReformerConfig, logging

from reformer_seqlen.reformer.crime_and_punishment import CRIME_AND_PUNISHMENT
from reformer_seqlen.reformer.model import Reformer, StockReformer
from reformer_seqlen.runtime import console

VOCABULARY = 320
CHUNK = 64  # of the published architecture
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Case:
    """What is measured."""

    batch_size: int
    sequence_length: int
    dtype: str
    lsh_causality: str

    @property
    def tokens(self) -> int:
        """Of a batch."""
        return self.batch_size * self.sequence_length

    @property
    def shape(self) -> str:
        """Of a batch, for people."""
        return f"{self.batch_size} x {self.sequence_length}"


@dataclass(frozen=True)
class Contestant:
    """A model with its optimizer."""

    model: Reformer | StockReformer
    optimizer: torch.optim.Optimizer


def published_config(length: int, lsh_causality: str) -> ReformerConfig:
    """The architecture of google/reformer-crime-and-punishment, with a table of positions."""
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
    config = published_config(case.sequence_length, case.lsh_causality)
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


def timed(run: Callable[..., object], *arguments: Any, **options: Any) -> float:
    """Seconds that a call takes."""
    begin = time.perf_counter()
    run(*arguments, **options)
    return time.perf_counter() - begin


def matrix_product_rate(dtype: str) -> float:
    """The best floating-point operations per second of a product, in a type the case allows."""
    allowed = {DTYPES[dtype], torch.float32}
    rates = []
    for kind in allowed:
        left, right = torch.ones(4096, 512, dtype=kind), torch.ones(512, 512, dtype=kind)
        best = min(timed(torch.mm, left, right) for _ in range(20))
        rates.append(2 * 4096 * 512 * 512 / best)
    return max(rates)


def training_operations(model: Reformer | StockReformer) -> int:
    """Floating-point operations of a training step's products, for each token."""
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
    """Time a case, in pairs; the first pair warms up."""
    stock, ours = contestants(case)
    seconds: dict[tuple[str, str], list[float]] = {}
    for repeat in range(repeats + 1):
        ids = torch.randint(VOCABULARY, (case.batch_size, case.sequence_length))
        ours.model.load_state_dict(stock.model.state_dict())
        for task, run in (("training", training_step), ("evaluation", evaluation)):
            for name, contestant in (("stock", stock), ("ours", ours)):
                contestant.model.set_hash_draw(0, repeat)
                spent = timed(run, contestant, ids, case.dtype)
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
    """How much longer ours takes for a token of the longest text than of the shortest ones.

    Both train on as many tokens.
    """
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
    """How much longer ours takes for a token of one case than of the other, in turn."""
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
        description=__doc__.split("\n\nWhat made")[0],
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
    console.run(main)
