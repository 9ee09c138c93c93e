"""transformers' own tools take both Reformers for the causal language models that they are."""

import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
    pipeline,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from transformers.utils.generic import find_labels

from reformer_seqlen.reformer.model import Reformer, StockReformer
from tests.reformer_example import NO_DROPOUT, random_ids, small_config, small_reformer

CLASSES = [pytest.param(Reformer, id="ours"), pytest.param(StockReformer, id="stock")]


def trainer(model: Any, texts: Tensor, folder: Path, **options: Any) -> Trainer:
    """A Trainer of one update on texts (B, L), whose columns are those of a tokenizer."""
    whole = {"attention_mask": torch.ones_like(texts), "labels": texts, "row": texts[:, 0]}
    rows = [
        {"input_ids": ids, **{name: values[index] for name, values in whole.items()}}
        for index, ids in enumerate(texts)
    ]
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=len(texts),
        per_device_eval_batch_size=len(texts),
        max_steps=1,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        **options,
    )
    return Trainer(model=model, args=arguments, train_dataset=rows, eval_dataset=rows)


def smoothed_loss(logits: Tensor, texts: Tensor, share: float) -> float:
    """Cross-entropy of each text's next token, with a share for all pieces alike."""
    log_probabilities = logits[:, :-1].log_softmax(-1)
    right = log_probabilities.gather(-1, texts[:, 1:].unsqueeze(-1))
    return -float((1 - share) * right.mean() + share * log_probabilities.mean())


@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("share", [0.0, 0.3])
def test_trainer_scores_the_next_token_with_label_smoothing_and_without(
    kind: type[Any], share: float, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    model, texts = kind(small_config("local", **NO_DROPOUT)), random_ids(3, 64)
    with torch.no_grad():
        expected = smoothed_loss(model(texts).logits, texts, share)
    training = trainer(model, texts, tmp_path, label_smoothing_factor=share)
    assert training.evaluate()["eval_loss"] == pytest.approx(expected, abs=1e-5)
    training.train()
    assert training.state.log_history[-2]["loss"] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_class_is_found_where_causal_models_are_looked_up(kind: type[Any]) -> None:
    assert kind.__name__ == MODEL_FOR_CAUSAL_LM_MAPPING_NAMES["reformer"]
    assert kind(small_config())._get_name() == kind.__name__
    assert find_labels(kind) == ["labels"]
    assert {"input_ids", "attention_mask", "labels"} <= {
        *inspect.signature(kind.forward).parameters
    }
    assert pickle.loads(pickle.dumps(kind)) is kind  # noqa: S301


def test_a_pipeline_continues_texts_of_all_lengths_as_each_alone(
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = {f"w{index}": index for index in range(40)}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words)), padding_side="left"
    )
    tokenizer.add_special_tokens({"pad_token": "w0"})
    tokenizer.backend_tokenizer.pre_tokenizer = WhitespaceSplit()
    continued = pipeline("text-generation", model=small_reformer(), tokenizer=tokenizer)
    assert "not supported" not in capfd.readouterr().err
    texts = [" ".join(f"w{i}" for i in range(1, length)) for length in (9, 39, 4)]
    options = {"do_sample": False, "max_new_tokens": 20, "eos_token_id": None}
    together = continued(texts, batch_size=3, **options)
    assert together == [continued(text, **options) for text in texts]


@pytest.mark.parametrize("kind", CLASSES)
def test_only_the_main_process_writes_files(kind: type[Any], tmp_path: Path) -> None:
    kind(small_config()).save_pretrained(tmp_path / "other", is_main_process=False)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    kind(small_config()).save_pretrained(tmp_path / "main")
    names = {path.name for path in (tmp_path / "main").iterdir()}
    assert names == {"config.json", "generation_config.json", "model.safetensors"}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "main")
    assert type(loaded).__module__.startswith("transformers.")


@pytest.mark.parametrize("kind", CLASSES)
def test_labels_and_masks_of_a_batch_reach_the_model(kind: type[Any]) -> None:
    model = kind(small_config("local", **NO_DROPOUT)).eval()
    texts, mask = random_ids(2, 64), torch.ones(2, 64)
    mask[0, :10] = 0
    labels = texts.masked_fill(mask == 0, -100)
    output = model(texts, attention_mask=mask, labels=labels)
    scored = labels[:, 1:] != -100
    losses = torch.nn.functional.cross_entropy(output.logits[:, :-1][scored], texts[:, 1:][scored])
    torch.testing.assert_close(output.loss, losses)
