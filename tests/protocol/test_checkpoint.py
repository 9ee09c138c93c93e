"""A published checkpoint computes what its weights say, and loses none of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    ReformerConfig,
    ReformerModelWithLMHead,
)

from reformer_seqlen.parameters.models import Model
from reformer_seqlen.parameters.sources import PathSource
from reformer_seqlen.reformer.hashing import rotation_seed
from reformer_seqlen.reformer.model import load_reformer
from stages.pretrain import fetch_checkpoint
from tests.paper_example import (
    save_checkpoint,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, torch.Tensor]]:
    """A checkpoint with the published layout as our stage fetches it, and its weights as it had."""
    folder = tmp_path_factory.mktemp("checkpoint")
    small = {"hidden_size": 32, "attention_head_size": 16, "feed_forward_size": 48}
    saved = save_checkpoint(folder / "hub", **small, axial_pos_embds_dim=[8, 24])
    source = PathSource(kind="path", path=str(saved), licence="made up")
    model = Model(options={"lsh_causality": "published"}, checkpoint=source)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        fetch_checkpoint("small", model, source, folder / "base", None)
    return folder / "base", torch.load(saved / "pytorch_model.bin", weights_only=True)


def test_a_loaded_checkpoint_computes_what_its_weights_say(
    base: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    """Stock transformers, whose forward pass has no output bias, and the bias added by hand."""
    folder, weights = base
    config = ReformerConfig.from_pretrained(folder)
    stock = ReformerModelWithLMHead(config).eval()
    stock.load_state_dict({name: weights[name] for name in stock.state_dict()})
    for index, layer in enumerate(stock.reformer.encoder.layers):
        layer.attention.self_attention.hash_seed = rotation_seed(7, 0, index)
    ours = load_reformer(folder, lsh_causality="published", sequence_length=256).eval()
    ours.set_hash_draw(7)
    ids = torch.from_numpy(np.random.default_rng(0).integers(0, 320, (2, 256)))
    with torch.no_grad():
        logits = ours(ids).logits
        without = stock(ids, use_cache=False).logits
    assert weights["lm_head.bias"].abs().max() > 1
    torch.testing.assert_close(logits, without + weights["lm_head.bias"], atol=1e-4, rtol=1e-4)


def test_no_weight_of_the_checkpoint_is_lost(
    base: tuple[Path, dict[str, torch.Tensor]],
) -> None:
    """Under `published` positions only the axial tables give way, to a fresh table of stock's."""
    folder, weights = base
    kept = {name for name in weights if "mask_value" not in name and "decoder.bias" not in name}
    axial = load_reformer(folder, lsh_causality="published", sequence_length=256).state_dict()
    assert axial.keys() == kept
    assert all(torch.equal(axial[name], weights[name]) for name in kept)
    fresh = load_reformer(
        folder, lsh_causality="published", positions="published", sequence_length=256
    ).state_dict()
    tables = {name for name in kept if "position_embeddings" in name}
    [table] = fresh.keys() - kept
    assert kept - fresh.keys() == tables
    assert all(torch.equal(fresh[name], weights[name]) for name in kept - tables)
    assert fresh[table].shape == (524288, 32)
    assert fresh[table].std().item() == pytest.approx(0.02, rel=0.01)
