"""Of params.yaml."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from reformer_seqlen.runtime.errors import StudyError, one_line
from reformer_seqlen.runtime.paths import CONF

if TYPE_CHECKING:
    from pydantic import ValidationError

CONTEXT_FILLS_GPU = "context_mib must be less than memory_mib"
MEMBER_AND_COMPRESSION = "`member` is taken from a .zip, which leaves no other `compression`"
UNKNOWN_ENCODING = (
    "give an encoding of text that Python knows, such as `utf-16`, `cp1252` or `shift_jis`, or the "
    "word `binary` for bytes that are no text"
)
LINE_ENDS_OF_BYTES = "`encoding: binary` leaves bytes as they are: leave `line_ends` out"
CHECKPOINT_IS_NO_TEXT = "a checkpoint is no text: leave `encoding` and `line_ends` out"
NO_FAST_TOKENIZER_IS_MADE = (
    "`pretraining` makes a SentencePiece model or takes bytes: give `tokenizer: sentencepiece` or "
    "`tokenizer: bytes`; `tokenizer: transformers` is read from a `checkpoint`"
)
NOTHING_LEFT_TO_TRAIN_ON = "validation + test must be less than 1, something is left for train"
PHASES_OF_NOTHING = "`train: none` has no `phases`: leave them out, or say how the base is trained"
TRAINING_OR_NONE = "say how the base is trained, or the word `none` for one that is not"
ORIGIN_OF_A_MODEL = "give either `checkpoint` or `pretraining`"
SPLIT_CUTS_ONE_FILE = "`split` cuts one file: give `files: {all: ...}` or leave `split` out"
ONE_DOCUMENT = "`format: bytes` makes one document of a file: give `split.between: lines`"
MATRIX_LEARNING_RATE = "`matrix_learning_rate` is what `optimizer: muon` needs, and no other takes"
FSDP_OF_ADAFACTOR = (
    "`fsdp` parts no states of `optimizer: adafactor`, which are sums over rows and columns: give "
    "`optimizer: adamw` or `muon`, or leave `fsdp` out"
)
NEITHER_VALUES_NOR_NONE = (
    "give values to go over the section `train`, or the word `none` to score the base as it is"
)
TRUE_FALSE_OR_AUTO = "give true, false or auto"
DECAY_OF_A_CONSTANT = "`schedule: constant_with_warmup` has no decay"
SHUFFLE_WITHOUT_SPLIT = (
    "lines are shuffled before a text is split, and this one has a file for every split: leave "
    "`shuffle_lines_seed` out"
)
FILES_WITHOUT_SPLIT = "give `files: {all: ...}` with a `split`, or a file for every split"


def unknown_keys(unknown: Iterable[str], known: Iterable[str]) -> str:
    """Keys that a section does not have."""
    named = ", ".join(f"`{key}`" for key in unknown)
    return f"unknown key {named}; known are {', '.join(known)}"


def alternatives(names: Iterable[str]) -> str:
    """Several keys that say one thing."""
    return f"give one of {' and '.join(f'`{name}`' for name in names)}, not both"


def no_whole_sequences(tokens: int, length: int) -> StudyError:
    """Tokens of an update that are no whole number of sequences."""
    return StudyError(
        f"tokens_per_update: {tokens} is no multiple of {length}, the sequence length"
    )


def fewer_sequences(sequences: int, processes: int) -> StudyError:
    """Some processes of a training would have nothing to do."""
    return StudyError(
        f"processes: {processes} is more than the {sequences} sequences of an update, which they "
        f"share: give at most {sequences}, or a larger batch"
    )


def differs_in_a_phase(key: str, name: str) -> StudyError:
    """A phase goes on in the process that the first one began."""
    return StudyError(f"{key}: all phases have the `{name}` of `train`; leave a phase's own out")


def decay_in_the_warmup(warmup: int, decay: int, updates: int) -> StudyError:
    """The rate would begin to fall while it rises."""
    return StudyError(
        f"the warm-up of {warmup} and the decay of {decay} updates are more than the {updates} of "
        "the training: make one of them shorter, or say it as a share"
    )


def of_a_training(key: str, error: Exception) -> StudyError:
    """What is wrong with how a run or a base is trained."""
    return StudyError(f"{key}.train.{error}")


def pieces_of_bytes(pieces: int) -> str:
    """A byte tokenizer of another number of pieces."""
    return f"`tokenizer: bytes` has {pieces} pieces: give `pretraining.pieces: {pieces}`"


def encoding_of_another(key: str, model: str, tokenizer: str) -> StudyError:
    """SentencePiece's encoding under another tokenizer."""
    return StudyError(
        f"{key}.encoding: `transformers` is a way to use a SentencePiece model, but the tokenizer "
        f"of models.{model} is `{tokenizer}`; leave `encoding` out"
    )


def token_set_is_misnamed(name: str, corpus: str, model: str) -> str:
    """A token set is named after its corpus and model."""
    return f"`{name}` holds corpus {corpus} and model {model}: name it `{corpus}-{model}`"


def not_among(key: str, name: str, known: Iterable[str], section: str) -> StudyError:
    """A name that refers to nothing."""
    return StudyError(f"{key}: `{name}` is not among {section}: {', '.join(known)}")


def tokens_of_another(
    key: str, wanted: tuple[str, str], held: tuple[str, str], name: str
) -> StudyError:
    """Two pairs of corpus and model that give one name."""
    return StudyError(
        f"{key} needs tokens.{name} of corpus {wanted[0]} and model {wanted[1]}, "
        f"but they are of {held[0]} and {held[1]}: rename one of them"
    )


def no_base_text(key: str, model: str) -> StudyError:
    """N-grams of all text that a model has seen, where that text is not at hand."""
    return StudyError(
        f"{key}: `all` counts the base text too, but models.{model} is a checkpoint, whose text is "
        "not known, or untrained; give `own`"
    )


def count_named_as_a_run(name: str) -> StudyError:
    """Results of both would go to the same files."""
    return StudyError(f"counts.{name}: runs.{name} has that name too; rename one of them")


def beyond_axial_tables(key: str, length: int, positions: int, model: str) -> StudyError:
    """A run that is longer than the axial tables of a model made here."""
    return StudyError(
        f"{key}.sequence_length: {length} is more than the {positions} "
        f"positions of models.{model}.pretraining.architecture.axial_pos_shape"
    )


def no_whole_chunks(key: str, length: int, multiple: int) -> StudyError:
    """A length that a Reformer would have to pad."""
    return StudyError(
        f"{key}.sequence_length: {length} is no multiple of {multiple}, and a Reformer reads "
        "whole chunks"
    )


def stride_skips(key: str, stride: int, length: int) -> StudyError:
    """A stride that leaves tokens between two windows."""
    return StudyError(
        f"{key}.evaluate.stride: {stride} is more than the {length} tokens of a window, and "
        "what is between two windows would not be scored"
    )


def nothing_hashes(run: str, model: str) -> StudyError:
    """Other numbers of hash rounds for a model without layers that hash."""
    return StudyError(
        f"runs.{run}.evaluate.hash_rounds: models.{model} has no layer that hashes; give "
        f"`evaluate: {{hash_rounds: []}}` for this run"
    )


def not_options(
    key: str, model_type: str | None, unknown: Iterable[str], known: Iterable[str]
) -> StudyError:
    """Options that a kind of model does not have."""
    named = ", ".join(f"`{name}`" for name in unknown)
    kind = "this model" if model_type is None else f"model_type {model_type}"
    return StudyError(f"{key}: {kind} has no option {named}; it has {', '.join(known)}")


def not_in_params(section: str, name: str, known: Iterable[str]) -> StudyError:
    """A name on the command line that params.yaml does not have."""
    return StudyError(f"{section}.{name}: not in params.yaml, which has {', '.join(known)}")


def invalid_study(where: str, lines: Iterable[str]) -> StudyError:
    """Everything that is wrong with a params.yaml, the first of it in the first line."""
    first, *others = lines
    return StudyError("\n  ".join([f"{where} is not a valid study: {first}", *others]))


def missing(path: Path) -> StudyError:
    """No params.yaml."""
    return StudyError(f"{path} is missing: run this in the repository's root folder")


FINITE = "give a finite number"
"""Of a number of a model's configuration that is infinite or none."""
EMPTY = "give a list of one number or more, but it is empty"
"""Of a list of sizes of a model."""


def at_most(limit: int) -> str:
    """A number of a model's configuration past any machine."""
    return f"give at most {limit}"


def at_least(limit: int) -> str:
    """A number of a model's configuration that makes no model."""
    return f"give at least {limit}"


def too_long(length: int, limit: int) -> str:
    """A list of a model's configuration past any machine."""
    return f"give at most {limit} values, but it has {length}"


def no_file(path: Path) -> StudyError:
    """A folder, a pipe or a device in the place of a file."""
    return StudyError(f"{path} is no regular file: put a text file in its place")


def name_is_no_text(name: object) -> str:
    """A name that is a number or a truth value to some YAML readers."""
    return (
        f"the name `{name}` is no text to every reader of YAML: put a word into it, as in a-{name}"
    )


def name_is_too_long(name: str, limit: int) -> str:
    """A name that file systems may refuse."""
    return f"the name `{name[:20]}...` has {len(name)} characters: at most {limit} fit everywhere"


def not_composed(profile: str, error: Exception) -> StudyError:
    """A profile that Hydra can't read."""
    return StudyError(f"the profile {profile} can't be read: {one_line(error)}")


def not_yaml(path: Path, error: Exception | str) -> StudyError:
    """A params.yaml that no YAML reader takes; where the reader knows the line, in one line."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    words = f"line {mark.line + 1}: {problem}" if mark and problem else str(error)
    return StudyError(f"{path} is not YAML: {words}")


def no_sections(where: str, values: object) -> StudyError:
    """A params.yaml that is empty, a list or a word."""
    kind = "a list" if isinstance(values, list) else "a single value"
    what = "it is empty" if values is None else f"it is {kind}"
    return StudyError(
        f"{where} is not a valid study: {what}, and sections such as `train:` were expected; "
        f"`git checkout HEAD {where}` brings back the committed one"
    )


def two_dialects(path: Path, line: int, scalar: str, advice: str) -> StudyError:
    """A value that is one thing in a profile and another in params.yaml."""
    return StudyError(
        f"{path}, line {line}: `{scalar}` is read as one thing by YAML 1.1 and as another by 1.2: "
        f"{advice}, or put it in quotes for the characters themselves"
    )


def unknown_profile(profile: str, known: Iterable[str]) -> StudyError:
    """A profile without a file in conf/profile."""
    begin = f"there is no profile `{profile}`"
    if names := ", ".join(known):
        return StudyError(f"{begin}: choose one of {names}")
    return StudyError(f"{begin}, and no other in {CONF}/profile: run this in the repository's root")


def complaints(error: "ValidationError", prefix: str = "") -> Iterator[str]:
    """A line for each wrong value: its key, what is allowed, what was given."""
    for item in error.errors(include_url=False):
        place = [str(part) for part in (prefix, *item["loc"]) if part != ""]
        if item["type"] == "string_type" and place[2:] == ["[key]"]:
            yield f"{place[0]}: {name_is_no_text(item['input'])}"
            continue
        yield of_a_place(place or ["params"], item["input"], item["msg"])


def of_a_place(place: Iterable[str | int], given: object, words: str) -> str:
    """What is wrong with a value, after its place, with the value where that is short."""
    shown = f", but it is {given!r}" if not isinstance(given, dict | list) else ""
    return f"{'.'.join(map(str, place))}: {words.removeprefix('Value error, ')}{shown}"
