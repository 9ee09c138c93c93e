"""Each corpus, cut by both."""

import datasets
import pytest

from reformer_seqlen.runtime.files import write_json
from tests.paper_example import (
    tokenizer,
)
from tests.protocol.rows_example import (
    CORPORA,
    Both,
    blocks_by_datasets,
    our_split,
    study,
    transformers_tokenizer,
)


@pytest.fixture(scope="package", params=CORPORA)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp(request.param)
    pieces = transformers_tokenizer(tokenizer(folder))
    write_json(folder / "kind.json", {"kind": "sentencepiece"})
    made, length = study(request.param, folder), CORPORA[request.param]
    names = ("train", "validation")
    datasets.disable_progress_bars()
    return Both(
        {name: blocks_by_datasets(made.rows[name], pieces, length) for name in names},
        {name: our_split(request.param, made.text[name], folder, name, length) for name in names},
    )
