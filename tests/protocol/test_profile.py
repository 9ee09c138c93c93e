"""The profile says what the study did."""

import pytest

from reformer_seqlen.parameters.model_options import ReformerOptions
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import parse_study
from tests.conftest import CONF

pytestmark = pytest.mark.slow


def test_the_profile_says_what_the_study_did() -> None:
    params = parse_study(compose("paper", CONF), "paper")
    cells = {(run.corpus, run.sequence_length) for run in params.runs.values()}
    lengths = {"wikitext-2": 256, "ptb": 256, "enwik8": 512}
    assert cells == {(c, n) for c, least in lengths.items() for n in (least, 2048, 16384)}
    for run in params.runs:
        training, options = params.training(run), params.options(run)
        assert params.chunking(run).policy == "published"
        assert training is not None
        assert (training.optimizer, training.schedule, training.precision) == (
            "adafactor",
            "linear",
            "float32",
        )
        assert (training.learning_rate, training.weight_decay) == (2e-4, 0.01)
        assert (training.warmup_updates, training.max_gradient_norm) == (0, 1.0)
        assert (training.batch_size, training.epochs, training.seed) == (16, 30, 42)
        assert isinstance(options, ReformerOptions)
        assert (options.positions, options.lsh_causality) == ("published", "published")
        assert (options.num_hashes, options.num_buckets) == (None, None)
    shapes = {"wikitext-2": "blank_empty", "ptb": "stripped", "enwik8": "unended"}
    assert {item.corpus: item.row_shape for item in params.tokens.values()} == shapes
    assert {item.encoding for item in params.tokens.values()} == {"transformers"}
    enwik8 = params.corpora["enwik8"]
    assert enwik8.shuffle_lines_seed is not None
    assert enwik8.split is not None
    assert (enwik8.split.between, enwik8.split.shares_of) == ("lines", "number")
    assert (enwik8.split.validation, enwik8.split.test) == (0.1, 0.1)
