"""`implementation` decides whose model the stages train and score."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from reformer_seqlen.parameters.study import load_study
from reformer_seqlen.reformer.model import Reformer, StockReformer, create_reformer
from reformer_seqlen.runtime.files import read_json, write_json
from reformer_seqlen.runtime.paths import BASES, EVALUATIONS, TOKENIZERS, TOKENS, WINDOWS
from reformer_seqlen.scoring import scorer
from reformer_seqlen.scoring.loss import score
from reformer_seqlen.text.chunking import contiguous
from reformer_seqlen.text.splits import Split
from reformer_seqlen.text.tokens import Tokens
from reformer_seqlen.training.trainer import train
from stages import evaluate, finetune
from tests.reformer_example import VOCABULARY, small_config

RUN = "news-128"
STOCK = {"implementation": "transformers", "positions": "learned", "lsh_causality": "published"}


def short_split(*_: Any) -> Split:
    ids, starts = np.random.default_rng(0).integers(1, VOCABULARY, 640), np.array([0])
    tokens = Tokens(ids.astype(np.uint8), np.ones(640, np.uint8), starts, starts)
    return Split(tokens, contiguous(640, 128, every_token=True), 128, "contiguous")


@pytest.mark.slow
@pytest.mark.parametrize(("options", "kind"), [({}, Reformer), (STOCK, StockReformer)])
def test_stages_train_and_score_the_chosen_implementation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, options: dict[str, str], kind: type
) -> None:
    study = load_study()
    run = study.runs[RUN]
    chosen = {**study.models[run.model].options, **options}
    seen: list[type] = []

    def watched(function: Any) -> Any:
        def call(model: Any, *arguments: Any, **options: Any) -> Any:
            seen.append(type(model))
            return function(model, *arguments, **options)

        return call

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(finetune, "train", watched(train))
    monkeypatch.setattr(scorer, "score", watched(score))
    for stage in (finetune, evaluate):
        monkeypatch.setattr(stage, "load_split", short_split)
    base = BASES / run.model
    torch.manual_seed(0)
    config = small_config(axial_pos_embds=True, axial_pos_shape=(4, 64))
    create_reformer(config).save_pretrained(base)
    tokens = TOKENS / f"{run.corpus}-{run.model}"
    write_json(TOKENIZERS / run.model / "kind.json", {"kind": "bytes"})
    splits = {split: {"tokens": 100, "unknown": 0} for split in ("validation", "test")}
    # the piece that no text here has
    write_json(tokens / "tokens.json", {"unknown_id": 0, "splits": splits})
    (WINDOWS / RUN).mkdir(parents=True)
    training = study.training(RUN)
    assert training is not None
    few = training.model_copy(update={"updates": 4, "warmup_updates": 1})
    finetune.finetune(RUN, run, few, chosen)
    evaluate.evaluate(RUN, run, study.evaluation(RUN), chosen)
    assert seen
    assert set(seen) == {kind}
    assert read_json(EVALUATIONS / RUN / "scores.json")["test"]["perplexity"] > 1
