"""What only a GPU can tell: is it correct, how fast, why, in how much memory: `benchmarks.gpu`.

`__main__` is the command, `parts` runs each part in a process of its own (`isolation`), and each
part writes what it finds as it finds it (`record`). The parts, the most valuable first:
`correctness` (against `reference`), `speed` (of the models in `contestants`, beside the card's
`limits`), `profile`, `memory`, `training` (on `text`). `card` says what all of it was measured on.

It starts from the repository alone: of the packages that pyproject.toml names, it needs torch,
transformers, safetensors, sentencepiece and numpy, and what these bring.
"""
