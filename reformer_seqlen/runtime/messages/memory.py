"""Of the memory of models: configurations, predictions, measurements, and the search."""

import signal
from collections.abc import Iterable
from difflib import get_close_matches

from reformer_seqlen.runtime.errors import StudyError


def not_causal(where: str, model_type: str, known: Iterable[str], is_another: bool) -> StudyError:
    """A model type that is no causal language model; one of another kind is spelt right."""
    asked = f"{where}: model_type must be a causal language model of transformers"
    if not model_type:
        return StudyError(f"{asked}, but there is none")
    hint = "" if is_another else _did_you_mean(model_type, known, cutoff=0.5)
    return StudyError(f"{asked}, but it is `{model_type}`{hint}")


def not_a_configuration(where: str, model_type: str, error: Exception) -> StudyError:
    """Values that the configuration class of a model type refuses."""
    return StudyError(f"{where} is not a configuration of {model_type}: {one_line(error)}")


def unknown_value(name: str, known: Iterable[str]) -> str:
    """A name that a configuration class does not have."""
    return f"it has no `{name}`{_did_you_mean(name, known)}"


def positions_of_another(where: str, positions: str, model_type: str) -> StudyError:
    """A choice of positions for what is no Reformer."""
    return StudyError(
        f"{where}: {positions} positions are for Reformers; write `own` for {model_type}"
    )


def allocations_of_another(where: str, allocations: object) -> StudyError:
    """Allocations of 2021 for what is no GPT-2."""
    return StudyError(f"{where}: allocations: {allocations} is for model_type gpt2")


def too_long(model_type: str, positions: int, tokens: int) -> StudyError:
    """More tokens than a model has positions for."""
    return StudyError(f"{model_type} has {positions} positions, {tokens} tokens are too many")


def not_built(model_type: str, error: Exception) -> StudyError:
    """A configuration that transformers makes no model of."""
    return StudyError(f"{model_type} does not build: {one_line(error)}")


def does_not_run(batch_size: int, sequence_length: int, error: Exception) -> StudyError:
    """A shape that a model does not run on, or a model that needs data to run."""
    reason = one_line(error)
    if isinstance(error, NotImplementedError) and "meta" in reason:
        reason = "what it does depends on the values of its tensors, and a prediction has none"
    shape = f"{batch_size} x {sequence_length} tokens"
    return StudyError(f"the model does not run on {shape}: {reason}")


def no_checkpointing(model: str) -> StudyError:
    """Gradient checkpointing of a model that transformers has none for."""
    return StudyError(f"{model} has no gradient checkpointing")


def search_too_long(units: int, unit: str) -> StudyError:
    """A model that loops over its tokens, so that larger shapes take ever longer to record."""
    return StudyError(f"{units} {unit} fit; more do too many operations to be searched")


def worker_ended() -> StudyError:
    """A process of the pool is gone, and nobody knows at which task."""
    return StudyError(
        "a process that predicts memory was ended from outside; the system does that when the"
        " machine's memory runs out"
    )


def needs_more(needed_mib: float, limit_mib: float, limit: str) -> str:
    """Why a row is not measured: it would take more than it may, or than there is."""
    return f"needs {needed_mib:.0f} MiB, {limit_mib:.0f} MiB are {limit}"


def took_too_long(seconds: float) -> str:
    """Why a row has no measurement: its time is up."""
    return f"took more than {seconds:g} s (memory.limits)"


def ended(code: int | None) -> str:
    """Why a row has no measurement: its process ended without one."""
    if code == -signal.SIGKILL:
        return "killed by the system, which does that when memory runs out"
    return f"the measuring process ended with status {code}"


def one_line(error: Exception, characters: int = 300) -> str:
    """An exception's message on one line of bearable length."""
    return " ".join(str(error).split())[:characters] or type(error).__name__


def _did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    near = get_close_matches(name, list(known), cutoff=cutoff)
    return f"; did you mean {' or '.join(near)}?" if near else ""
