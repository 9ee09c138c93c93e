"""params.yaml as a whole: one typed object, whose parts fit each other."""

import re
from math import inf, prod
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from reformer_seqlen.parameters.chunking import Chunking
from reformer_seqlen.parameters.common.reading import read_values
from reformer_seqlen.parameters.common.section import Name, Section
from reformer_seqlen.parameters.corpora import Corpus
from reformer_seqlen.parameters.counts import Count
from reformer_seqlen.parameters.dialects import check_dialect
from reformer_seqlen.parameters.evaluation import Evaluation
from reformer_seqlen.parameters.memory import MemoryStudy
from reformer_seqlen.parameters.model_options import ModelOptions, ReformerOptions, options_for
from reformer_seqlen.parameters.models import Model, Pretraining
from reformer_seqlen.parameters.report import Reporting
from reformer_seqlen.parameters.runs import Run, overridden
from reformer_seqlen.parameters.sources import Sources
from reformer_seqlen.parameters.tokens import TokenSet
from reformer_seqlen.parameters.training import Training
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_text
from reformer_seqlen.runtime.messages import parameters as messages
from reformer_seqlen.runtime.paths import PARAMS

OTHERWISE = re.compile(
    r"(?i)true|false|null|on|off|yes|no|y|n|[-\d_]+|[-\d_]+e[-\d_]+|0[xob][\da-f_]+"
)
"""Names that YAML readers take for something else; DVC hands them on without quotes."""
LONGEST_NAME = 100
"""Characters: file systems take 255 bytes, of which endings and work files need some."""

MOST_VALUES = 10**6
"""In params.yaml, each alias written out."""


class Study(Section):
    """Everything in params.yaml."""

    profile: Name
    sources: Sources = Sources()
    corpora: dict[Name, Corpus] = Field(min_length=1)
    models: dict[Name, Model] = Field(min_length=1)
    tokens: dict[Name, TokenSet] = Field(min_length=1)
    counts: dict[Name, Count] = Field(default_factory=dict)
    runs: dict[Name, Run] = Field(min_length=1)
    chunk: Chunking
    train: Training
    evaluate: Evaluation
    memory: MemoryStudy
    report: Reporting

    @field_validator("corpora", "models", "tokens", "counts", "runs")
    @classmethod
    def _names_are_names_everywhere(cls, items: dict[str, Any]) -> dict[str, Any]:
        for name in items:
            if OTHERWISE.fullmatch(name):
                raise ValueError(messages.name_is_no_text(name))
            if len(name) > LONGEST_NAME:
                raise ValueError(messages.name_is_too_long(name, LONGEST_NAME))
        return items

    @field_validator("tokens")
    @classmethod
    def _token_sets_are_named_after_what_they_hold(
        cls, tokens: dict[str, TokenSet]
    ) -> dict[str, TokenSet]:
        for name, item in tokens.items():
            if name != f"{item.corpus}-{item.model}":
                raise ValueError(messages.token_set_is_misnamed(name, item.corpus, item.model))
        return tokens

    @model_validator(mode="after")
    def _names_refer_to_something(self) -> "Study":
        named: list[tuple[str, TokenSet | Count | Run]] = [
            *((f"tokens.{name}", item) for name, item in self.tokens.items()),
            *((f"counts.{name}", item) for name, item in self.counts.items()),
            *((f"runs.{name}", item) for name, item in self.runs.items()),
        ]
        for key, each in named:
            _refer(f"{key}.corpus", each.corpus, self.corpora, "corpora")
            _refer(f"{key}.model", each.model, self.models, "models")
        for name, model in self.models.items():
            self.base_options(name)
            if model.pretraining is not None:
                self._check_pretraining(f"models.{name}.pretraining", model, model.pretraining)
        for name, count in self.counts.items():
            self._check_count(name, count)
        for name, item in self.tokens.items():
            kind = self.models[item.model].tokenizer
            if item.encoding == "transformers" and kind != "sentencepiece":
                raise messages.encoding_of_another(f"tokens.{name}", item.model, kind)
        for name, run in self.runs.items():
            self._check_run(name, run)
        for name in self.report.notes:
            _refer("report.notes", name, self.models, "models")
        return self

    @staticmethod
    def _check_pretraining(key: str, model: Model, recipe: Pretraining) -> None:
        for length, training in recipe.trainings():
            _check_chunks(key, length, model)
            for name in ("processes", "threads", "precision"):
                if getattr(training, name) != getattr(recipe.train, name):
                    raise messages.differs_in_a_phase(key, name)
            try:
                training.sequences(length)
            except StudyError as error:
                raise messages.of_a_training(key, error) from error

    def _check_tokens(self, key: str, item: Count | Run) -> None:
        joined = f"{item.corpus}-{item.model}"
        _refer(f"{key} needs tokens", joined, self.tokens, "tokens")
        tokens = self.tokens[joined]
        held, wanted = (tokens.corpus, tokens.model), (item.corpus, item.model)
        if held != wanted:
            raise messages.tokens_of_another(key, wanted, held, joined)

    def _check_count(self, name: str, count: Count) -> None:
        self._check_tokens(f"counts.{name}", count)
        recipe = self.models[count.model].pretraining
        if count.text == "all" and (recipe is None or recipe.train is None):
            raise messages.no_base_text(f"counts.{name}.text", count.model)
        if name in self.runs:
            raise messages.count_named_as_a_run(name)

    def _check_run(self, name: str, run: Run) -> None:
        key = f"runs.{name}"
        self._check_tokens(key, run)
        _check_length(key, run, self.models[run.model])
        self.chunking(name)
        training = self.training(name)
        try:
            if training is not None:
                training.sequences(run.sequence_length)
        except StudyError as error:
            raise messages.of_a_training(key, error) from error
        self._check_evaluation(name, run)

    def _check_evaluation(self, name: str, run: Run) -> None:
        evaluation, options = self.evaluation(name), self.options(name)
        stride = evaluation.stride
        if stride is not None and stride > run.sequence_length:
            raise messages.stride_skips(f"runs.{name}", stride, run.sequence_length)
        if evaluation.hash_rounds and not may_hash(self.models[run.model], options):
            raise messages.nothing_hashes(name, run.model)

    def chunking(self, run: str) -> Chunking:
        """How windows of `run` are cut."""
        return overridden(self.chunk, self.runs[run].chunk, f"runs.{run}.chunk")

    def training(self, run: str) -> Training | None:
        """How `run` is trained; None where its base is scored as it is."""
        own = self.runs[run].train
        if isinstance(own, str):
            return None
        return overridden(self.train, own, f"runs.{run}.train")

    def cores(self) -> int:
        """What a training takes by the section `train`, or the most by one of several processes.

        Each thread of each process takes a core.
        """
        recipes = (model.pretraining for model in self.models.values())
        bases = [recipe.train for recipe in recipes if recipe is not None]
        own = [*bases, *(self.training(name) for name in self.runs)]
        several = [each for each in own if each is not None and each.processes > 1]
        return max(each.threads * each.processes for each in (self.train, *several))

    def evaluation(self, run: str) -> Evaluation:
        """How `run` is scored."""
        return overridden(self.evaluate, self.runs[run].evaluate, f"runs.{run}.evaluate")

    def options(self, run: str) -> ModelOptions:
        """The options of `run`'s model."""
        model = self.models[self.runs[run].model]
        return options_for(model.model_type, self.given_options(run), f"runs.{run}.options")

    def given_options(self, run: str) -> dict[str, Any]:
        """What is declared of them, for a checkpoint whose kind only its configuration tells."""
        return {**self.models[self.runs[run].model].options, **self.runs[run].options}

    def base_options(self, model: str) -> ModelOptions:
        """The options of a base model."""
        given = self.models[model]
        return options_for(given.model_type, given.options, f"models.{model}.options")


def _check_length(key: str, run: Run, model: Model) -> None:
    """Refuse a run that a Reformer made here would pad, or that its axial tables do not reach.

    What limits other models is known to transformers alone (see `models.architecture`).
    """
    _check_chunks(key, run.sequence_length, model)
    shape = model.pretraining.architecture.get("axial_pos_shape") if model.pretraining else None
    positions = run.options.get("positions", model.options.get("positions", "axial"))
    if not isinstance(shape, list) or not all(isinstance(size, int) for size in shape):
        return  # left out, or what `models.architecture` refuses
    if positions == "axial" and prod(shape) < run.sequence_length:
        raise messages.beyond_axial_tables(key, run.sequence_length, prod(shape), run.model)


def _check_chunks(key: str, length: int, model: Model) -> None:
    if length % model.chunk_length:
        raise messages.no_whole_chunks(key, length, model.chunk_length)


def may_hash(model: Model, options: ModelOptions) -> bool:
    """Whether a model may have layers that hash; what a checkpoint has only it knows."""
    if model.pretraining is None or not isinstance(options, ReformerOptions):
        return isinstance(options, ReformerOptions)
    layers = model.pretraining.architecture.get("attn_layers")
    return not isinstance(layers, list) or "lsh" in layers


def _refer(key: str, name: str, known: dict[str, Any], section: str) -> None:
    if name not in known:
        raise messages.not_among(key, name, known, section)


def parse_study(values: Any, where: str) -> Study:
    """Check the values of a params.yaml.

    Args:
        values: what YAML gave.
        where: the file's name, for the message.

    Raises:
        StudyError: something is missing, unknown, of a wrong type or out of range; the message
            names each key, what is allowed and what was given.
    """
    if not isinstance(values, dict):
        raise messages.no_sections(where, values)
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise messages.invalid_study(where, messages.complaints(error)) from error
    except StudyError as error:
        raise messages.invalid_study(where, [str(error)]) from error


def load_study(path: Path = PARAMS) -> Study:
    """Read and check params.yaml.

    Raises:
        StudyError: there is no such file, it is not YAML, or its values are wrong.
    """
    return parse_study(read_whole(path), str(path))


def read_whole(path: Path = PARAMS) -> Any:
    """What YAML makes of params.yaml, or of a kept one.

    Raises:
        StudyError: it is no file, not UTF-8, not YAML, or not the same to all readers of YAML.
    """
    if path.exists() and not path.is_file():
        raise messages.no_file(path)
    if path.is_file():
        read_text(path)  # says where it is not UTF-8
        check_dialect(path)
    try:
        values = read_values(path)
        size = _written_out(values, {})
    except RecursionError as error:
        raise messages.not_yaml(path, "it is nested too deep") from error
    except ValueError as error:  # a number of too many digits, or none under the tag of one
        raise messages.not_yaml(path, error) from error
    if size > MOST_VALUES:
        raise messages.not_yaml(path, "its aliases stand for too much, or one holds itself")
    return values


def _written_out(value: Any, sizes: dict[int, float]) -> float:
    """How many values there are if each alias is written out; without an end if one holds itself.

    Args:
        value: what YAML gave.
        sizes: of the lists and mappings that were counted, by their identity.
    """
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in sizes:
        sizes[id(value)] = inf
        inner = value.values() if isinstance(value, dict) else value
        sizes[id(value)] = 1 + sum(_written_out(each, sizes) for each in inner)
    return sizes[id(value)]
