"""Checkpoints in one GGUF file, llama.cpp's format, made into a folder that transformers reads."""

from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer

from reformer_seqlen.runtime.messages import models as messages


def from_gguf(file: Path, folder: Path, what: str) -> None:
    """Write a GGUF file's weights, in float32, with its configuration and tokenizer.

    Args:
        file: as it was fetched.
        folder: gets config.json, model.safetensors and the tokenizer's files.
        what: the source's name in messages.

    Raises:
        StudyError: it is no GGUF file, or of a model that transformers does not read from one.
    """
    transformers.logging.disable_progress_bar()
    try:
        place = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
        model = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**place)
    except Exception as error:  # readers of three packages raise many kinds
        raise messages.no_gguf(what, error) from error
    # They are numbers like any others now; transformers refuses to save what it calls quantized.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
