"""Of the Reformer: its checkpoints, its configuration, and what it is called with."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from reformer_seqlen.runtime.errors import StudyError

# Checkpoints.


def no_checkpoint(folder: Path, name: str) -> StudyError:
    """A folder lacks one of a checkpoint's files."""
    return StudyError(
        f"{folder} holds no {name}, so it is no checkpoint: run the stage that writes it."
    )


def unreadable_checkpoint(folder: Path, error: Exception) -> StudyError:
    """A checkpoint's files can't be read."""
    return StudyError(f"{folder} holds no readable checkpoint: {error}")


def another_model_type(folder: Path, found: object, needed: str) -> StudyError:
    """A checkpoint of something else than a Reformer."""
    return StudyError(f"{folder}/config.json is of a {found}, and a {needed} is needed here.")


def wrong_tensors(folder: Path, names: Sequence[str]) -> StudyError:
    """A checkpoint's weights are not those that its configuration describes."""
    return StudyError(
        f"{folder}/model.safetensors does not fit its config.json: {len(names)} tensors are "
        f"missing, unknown or of another shape, the first {names[0]}. Fetch or train it again."
    )


# Options.


def unknown_implementation(implementation: str) -> StudyError:
    """Neither ours nor stock's."""
    return StudyError(
        f"implementation is {implementation!r}: choose reformer-seqlen or transformers."
    )


def stock_is_not_strict(where: str) -> StudyError:
    """Stock transformers asked for the strict rule."""
    return StudyError(
        f"lsh_causality is strict, but stock transformers knows the published rule only, and "
        f"{where} has lsh layers: choose lsh_causality: published, or implementation: "
        "reformer-seqlen."
    )


def stock_recomputes() -> StudyError:
    """Stock transformers asked to keep activations."""
    return StudyError(
        "reversible is off, but stock transformers always computes activations again: choose "
        "reversible: auto, or implementation: reformer-seqlen."
    )


def unknown_positions(positions: str) -> StudyError:
    """No kind of position table."""
    return StudyError(f"positions is {positions!r}: choose axial, learned or published.")


def no_axial_tables(where: str) -> StudyError:
    """Axial positions asked of a model without them."""
    return StudyError(
        f"positions is axial, but {where} has no axial tables: choose positions: learned."
    )


def beyond_axial_tables(where: str, length: int, limit: int) -> StudyError:
    """A sequence length beyond the axial tables."""
    return StudyError(
        f"sequence_length is {length}, but the axial tables of {where} hold {limit} "
        "positions: choose a shorter one, or positions: learned."
    )


def odd_buckets(num_buckets: object) -> StudyError:
    """A number of buckets, or a factor of it, that is odd or less than 2."""
    return StudyError(
        f"num_buckets is {num_buckets!r}: every factor must be an even number of at least 2, "
        "because a bucket and its opposite come in pairs. Give one even number, a list of "
        "them, or leave num_buckets out to have it chosen by the length."
    )


# A model's configuration.


def not_allowed(name: str, value: object, allowed: Iterable[str]) -> StudyError:
    """A setting of ours has an unknown value."""
    return StudyError(
        f"{name} is {value!r} in the model's configuration: choose one of {', '.join(allowed)}."
    )


def unknown_layers(layers: Sequence[object], kinds: Iterable[str]) -> StudyError:
    """No layers, or some of an unknown kind."""
    return StudyError(
        f"attn_layers is {[*layers]} in the model's configuration: list the layers, each one of "
        f"{', '.join(kinds)}."
    )


def too_small(name: str, value: object, least: int) -> StudyError:
    """A setting that is no whole number, or too small a one."""
    return StudyError(
        f"{name} is {value!r} in the model's configuration: choose a whole number of at least "
        f"{least}."
    )


def another_activation(hidden_act: object) -> StudyError:
    """Not relu."""
    return StudyError(
        f"hidden_act is {hidden_act} in the model's configuration, and only relu is "
        "implemented: choose implementation: transformers."
    )


def no_decoder() -> StudyError:
    """A model that attends to later tokens, too."""
    return StudyError(
        "is_decoder is false in the model's configuration, and only language models, which "
        "see the past alone, are implemented: set it to true."
    )


def chunks_after(name: str, value: int) -> StudyError:
    """Windows that reach into the future."""
    return StudyError(
        f"{name} is {value} in the model's configuration, and a language "
        "model sees nothing of what comes after: set it to 0."
    )


def no_probability(name: str, value: object) -> StudyError:
    """A dropout that is no probability below 1."""
    return StudyError(
        f"{name} is {value} in the model's configuration: choose 0 or more, and less than 1."
    )


def no_chunk_before() -> StudyError:
    """Strict hashed attention without a chunk to look back at."""
    return StudyError(
        "lsh_num_chunks_before is 0 in the model's configuration, and lsh_causality: strict "
        "looks back at least one chunk: set it to 1 or more, or choose lsh_causality: "
        "published."
    )


# What a model is called with.


def wraps(kind: str, chunks: int, before: int) -> StudyError:
    """A text so short that, under stock's rule, a window would hold its own chunk twice."""
    return StudyError(
        f"the text has {chunks} chunks, and {kind}_num_chunks_before is {before}: under "
        "lsh_causality: published a window would hold its own chunk twice. Choose a "
        "longer text, or lsh_causality: strict."
    )


def stock_length(length: int, whole: int) -> StudyError:
    """Stock transformers trains axial positions at the length of their whole table only."""
    return StudyError(
        f"implementation: transformers trains axial positions at {whole} tokens only, "
        f"not at {length}: use implementation: reformer-seqlen, or "
        "positions: learned or published."
    )


def no_whole_chunks(length: int, multiple: int) -> StudyError:
    """A text to train on whose length is no multiple of the chunk lengths."""
    shorter = length // multiple * multiple
    choices = f"{shorter + multiple} or {shorter}" if shorter else f"{multiple}"
    return StudyError(
        f"the text has {length} tokens, and training needs a multiple of {multiple}, "
        f"the chunk lengths' least common multiple: choose {choices}."
    )


def exported_training() -> StudyError:
    """torch.export of a model in training mode."""
    return StudyError(
        "an exported model would drop the same numbers at every call, as its seeds are constants: "
        "call eval() before torch.export."
    )


def beyond_positions(length: int, limit: int) -> StudyError:
    """A text that is longer than the position table."""
    return StudyError(
        f"the text reaches position {length} and the model's position table holds {limit}: "
        f"set sequence_length to at most {limit}, or choose positions: learned, which makes "
        "a table of the run's own length."
    )


def negative_position(position: int) -> StudyError:
    """A position below 0."""
    return StudyError(f"position_ids holds {position}: positions count from 0.")


def no_input() -> StudyError:
    """Neither or both of the two kinds of input."""
    return StudyError("call the model with either input_ids or inputs_embeds.")


def no_texts(name: str, shape: tuple[int, ...]) -> StudyError:
    """Inputs of another number of axes, or without a token."""
    axes = "texts, tokens" if name == "input_ids" else "texts, tokens, hidden size"
    return StudyError(f"{name} has the shape {shape}: pass ({axes}), with one of each or more.")


def another_shape(name: str, shape: tuple[int, ...], texts: tuple[int, int]) -> StudyError:
    """A mask or positions that do not fit the texts."""
    return StudyError(
        f"{name} has the shape {shape}: pass one value for each token, {texts}, or one text's for "
        f"all, {(1, texts[1])}."
    )


def no_attentions() -> StudyError:
    """Attention probabilities are asked for."""
    return StudyError(
        "output_attentions is true, but the fast implementation never lays attention out by "
        "position: choose implementation: transformers to look at it."
    )


def never_called(name: str, kind: str) -> StudyError:
    """A module that holds others is hooked or replaced, which would have no effect."""
    return StudyError(
        f"{name} (of class {kind}) carries a hook or was replaced, but the fast implementation "
        "never calls it, only the linear layers, layer norms and embeddings within it: change "
        "those, or choose implementation: transformers."
    )


def unknown_arguments(names: Iterable[str]) -> StudyError:
    """Arguments of `forward` that are not known."""
    return StudyError(
        f"the fast implementation knows no argument {', '.join(names)}; stock's "
        "num_hashes is set in the configuration here."
    )


def beside_cache() -> StudyError:
    """Positions or padding come with a cache, which has its own."""
    return StudyError(
        "a cache keeps the positions and the padding of its first pass: pass no "
        "position_ids and no attention_mask with it."
    )


def several_tokens(count: int) -> StudyError:
    """More than one new token with a cache, or in training."""
    return StudyError(f"{count} tokens came with a cache: pass one at a time, in evaluation mode.")


def second_backward() -> StudyError:
    """Backward was called twice on one loss."""
    return StudyError(
        "backward was called twice on this loss, and the first call freed the saved "
        "activations: call backward once, or use torch.set_num_threads(1) and "
        "retain_graph=True."
    )


def float16() -> StudyError:
    """The range of float16 is too small for the scores of masked keys."""
    return StudyError(
        "float16 can't hold the scores of masked keys, -2^30: choose bfloat16 or float32."
    )
