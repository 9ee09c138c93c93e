"""Of the memory of models: configurations, predictions, measurements, and the search."""

import signal

from reformer_seqlen.runtime.errors import StudyError, one_line


def positions_of_another(where: str, positions: str, model_type: str) -> StudyError:
    """A choice of positions for what is no Reformer."""
    return StudyError(
        f"{where}: {positions} positions are for Reformers; write `own` for {model_type}"
    )


def allocations_of_another(where: str, allocations: object) -> StudyError:
    """Allocations of 2021 for what is no GPT-2."""
    return StudyError(f"{where}: allocations: {allocations} is for model_type gpt2")


def no_such_depth(where: str, model_type: str, layers: int, error: Exception) -> StudyError:
    """A configuration that cannot be made deeper or shallower."""
    place = f"{where}: " if where else ""
    return StudyError(f"{place}no {model_type} of {layers} layers can be made: {one_line(error)}")


def depth_stays(layers: int) -> str:
    """Why a configuration has no other depth: its class does not heed the number of layers."""
    return f"its configuration still says {layers}"


def depth_not_heeded(where: str, model_type: str, layers: int) -> StudyError:
    """A model that is made with other layers than its configuration's depth asks for."""
    return StudyError(
        f"{where}: a {model_type} of {layers} layers is not made by their number alone"
    )


def does_not_run(batch_size: int, sequence_length: int, error: Exception) -> StudyError:
    """A shape that a model does not run on, or a model that needs data to run."""
    reason = one_line(error)
    if isinstance(error, NotImplementedError) and "meta" in reason:
        reason = "what it does depends on the values of its tensors, and a prediction has none"
    if "expected scalar type" in reason:
        reason = "parts of it stay in float32 in another dtype, which torch refuses; take float32"
    if "overflow" in reason:
        reason = "its tensors are larger than any memory; take a smaller batch or shorter texts"
    shape = f"{batch_size} x {sequence_length} tokens"
    return StudyError(f"the model does not run on {shape}: {reason}")


def no_checkpointing(model: str) -> StudyError:
    """Gradient checkpointing of a model that transformers has none for."""
    return StudyError(f"{model} has no gradient checkpointing")


def search_too_long(units: int, unit: str) -> StudyError:
    """A model that loops over its tokens, so that larger shapes take ever longer to record."""
    return StudyError(f"{units} {unit} fit; more do too many operations to be searched")


def too_many_operators(most: int) -> StudyError:
    """A recording that would take minutes."""
    return StudyError(
        f"more than {most:,} operations are not recorded: a model that loops over its positions is"
        " predicted for fewer tokens only"
    )


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
