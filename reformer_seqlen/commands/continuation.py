"""A text continued by a run's model."""

from pathlib import Path

import torch

from reformer_seqlen.models.causal import load
from reformer_seqlen.parameters.study import Study
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.text.tokenizers import load_tokenizer
from reformer_seqlen.training import determinism


def continuation(
    name: str, folder: Path, params: Study, prompt: str, pieces: int, seed: int
) -> str:
    """The prompt and up to `pieces` more, drawn from a run's model.

    Args:
        name: the run's.
        folder: its model's.
        params: the study.
        prompt: the text to continue.
        pieces: how many to draw; fewer where the run's sequence length leaves less room.
        seed: of the draws.

    Raises:
        StudyError: the prompt is empty, or leaves no room.
    """
    tokenizer = load_tokenizer(folder)
    ids = tokenizer.encode([prompt.encode()]).ids.tolist()
    if not ids:
        raise StudyError('give a prompt that is not empty: make sample RUN=... PROMPT="The "')
    length = params.runs[name].sequence_length
    room = length - len(ids)
    if room < 1:
        raise StudyError(f"the prompt has {len(ids)} pieces, runs.{name} reads at most {length}")
    determinism.make_deterministic(params.evaluation(name).threads)
    determinism.seed(seed)
    options, key = params.given_options(name), f"runs.{name}"
    model = load(folder, sequence_length=length, options=options, key=key).eval()
    with torch.no_grad():
        drawn = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones((1, len(ids)), dtype=torch.int64),  # no piece is padding
            max_new_tokens=min(pieces, room),
            do_sample=True,
            top_p=0.9,
        )
    # Decoding may change blanks, so what was typed is not taken from the pieces.
    return prompt + tokenizer.decode(drawn[0].tolist()).removeprefix(tokenizer.decode(ids))
