"""A study of one corpus in the fair way and in the published one, with made-up scores."""

from typing import Any

import numpy as np

from reformer_seqlen.parameters.runs import Run
from reformer_seqlen.reporting.records import Scores, Windows
from reformer_seqlen.reporting.results import Results
from reformer_seqlen.scoring.uncertainty import Sums
from tests.metrics_example import windows
from tests.plots_example import results, score
from tests.report_example import one_run, runs

EQUAL_EPOCHS = {"epochs": 3, "batch_size": 4}
PUBLISHED = {"policy": "published"}
GAP_STUDY = {
    **runs(("news",), (128, 512, 2048)),
    "e-128": one_run(128, train=EQUAL_EPOCHS),
    "e-2048": one_run(2048, train=EQUAL_EPOCHS),
    "p-128": one_run(128, train=EQUAL_EPOCHS, chunk=PUBLISHED),
    "p-2048": one_run(2048, train=EQUAL_EPOCHS, chunk=PUBLISHED),
}
FAIR_BITS = {"news-128": 2.0, "news-512": 2.0, "news-2048": 2.1, "e-128": 2.0, "e-2048": 2.4}
"""Of windows side by side, as are those of the runs that are trained in published ones:"""
RESCORED_BITS = {"p-128": 2.0, "p-2048": 2.5}
PUBLISHED_BITS = {"p-128": 2.05, "p-2048": 2.65}


def sums(bits: float, blocks: int = 40) -> Sums:
    """Blocks of 500 bytes, all alike: the interval of a score is the score itself."""
    return np.tile([bits * np.log(2) * 500, 500.0], (blocks, 1))


def gap_results(study: dict[str, Run], **parts: Any) -> Results:
    """Each run scored in the windows of its own policy, the published ones in both."""
    own = {**FAIR_BITS, **PUBLISHED_BITS}
    scores, blocks, others, policies = {}, {}, {}, {}
    for name, run in study.items():
        policy = run.chunk.get("policy", "contiguous")
        policies[name] = Windows.model_validate({**windows(), "policy": policy})
        test = score(own[name])
        blocks[name] = {"test": sums(own[name])}
        if name in RESCORED_BITS:
            bits = RESCORED_BITS[name]
            protocol = {"bits_per_byte": bits, "low": bits, "high": bits}
            protocol |= {"perplexity": 9.0, "tokens": 99}
            test = type(test).model_validate(
                {**test.model_dump(), "protocols": {"contiguous": protocol}}
            )
            blocks[name] = {"test": sums(own[name], 39 if name == "p-128" else 30)}
            others[name] = {"contiguous": {"test": sums(bits)}}
        scores[name] = Scores(validation=score(2.0), test=test)
    made = {"scores": scores, "blocks": blocks, "protocol_blocks": others, "windows": policies}
    return results(**{**made, **parts})
