"""The paper profile's sources in little: made-up text in the real formats, a random checkpoint.

None of the text is anyone's: words and sentences are drawn from a seed.
"""

import hashlib
import io
import random
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import datasets
import sentencepiece
import torch
from transformers import ReformerConfig, ReformerModelWithLMHead

from reformer_seqlen.reformer.crime_and_punishment import CRIME_AND_PUNISHMENT
from tests.servers import FileServer, Hub, Repository

WIKITEXT = "Salesforce/wikitext"
WIKITEXT_COMMIT = "b08601e04326c79dfdd32d625aee71d232d685c3"
CHECKPOINT = "google/reformer-crime-and-punishment"
CHECKPOINT_COMMIT = "d" * 40
SPLITS = ("train", "validation", "test")
FILE_OF = {"train": "ptb.train.txt", "validation": "ptb.valid.txt", "test": "ptb.test.txt"}
SYLLABLES = [
    "ba",
    "ce",
    "di",
    "fo",
    "gu",
    "ha",
    "jo",
    "ki",
    "lem",
    "mon",
    "nar",
    "pel",
    "qui",
    "ras",
]
MARKS = ["", " <unk>", " N", " $ N", " 's"]
SMALL = {
    "attn_layers": ["local", "lsh"],
    "hidden_size": 8,
    "attention_head_size": 8,
    "feed_forward_size": 16,
    "axial_pos_embds_dim": [2, 6],
}
"""The published configuration, but for depth and width; the table keeps its 524288 rows."""


def _lexicon(size: int) -> list[str]:
    generator = random.Random(0)
    return ["".join(generator.choices(SYLLABLES, k=generator.randint(1, 3))) for _ in range(size)]


LEXICON = _lexicon(400)


def _words(generator: random.Random, count: int) -> list[str]:
    return generator.choices(LEXICON, weights=range(len(LEXICON), 0, -1), k=count)


def ptb_lines(count: int, seed: int) -> bytes:
    """Lines as Mikolov's files have them: blanks at both ends, lower case, <unk>, N for numbers."""
    generator = random.Random(seed)
    lines = []
    for _ in range(count):
        words = _words(generator, generator.randint(3, 35))
        marks = generator.choices(MARKS, [20, 1, 1, 1, 1], k=len(words))
        lines.append(" ".join(word + mark for word, mark in zip(words, marks, strict=True)))
    return "".join(f" {line} \n" for line in lines).encode()


def wikitext_rows(count: int, seed: int) -> list[str]:
    """Rows as the hub has them: titles, paragraphs of very unequal length, and empty ones."""
    generator = random.Random(seed)
    rows: list[str] = []
    while len(rows) < count:
        title = " ".join(_words(generator, 2)).title()
        rows += ["", f" = {title} = \n", ""]
        for _ in range(generator.randint(1, 4)):
            words = _words(generator, generator.choice([9, 40, 90]))
            rows.append(
                f" {' '.join(words).capitalize()} , caf\N{LATIN SMALL LETTER E WITH ACUTE} . \n"
            )
    return rows[:count]


def wikitext_bytes(rows: Sequence[str]) -> bytes:
    """The official raw file of these rows."""
    return "".join(row or " \n" for row in rows).encode()


def enwik8_bytes(count: int, seed: int) -> bytes:
    """Lines of a MediaWiki dump, blank ones among them; the last one is cut off, as enwik8's is."""
    generator = random.Random(seed)
    lines = ["<mediawiki>"]
    while len(lines) < count:
        title = " ".join(_words(generator, 2)).title()
        lines += ["  <page>", f"    <title>{title}</title>", f"    <id>{len(lines)}</id>"]
        for _ in range(generator.randint(2, 9)):
            words = _words(generator, generator.randint(4, 40))
            lines += [
                f"[[{words[0]}]] &quot;{' '.join(words[1:])}&quot; {{{{stub|{words[1]}}}}}",
                "",
            ]
        lines += ["</text>", "  </page>"]
    return "\n".join(lines[:count]).encode()


def tokenizer(folder: Path) -> Path:
    """A tokenizer as the published one: 320 pieces, blanks and newlines normalised away."""
    text = [line for seed in range(3) for line in ptb_lines(300, seed).decode().splitlines()]
    prefix = folder / "spiece"
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text),
        model_prefix=str(prefix),
        model_type="bpe",
        vocab_size=320,
        num_threads=1,
        minloglevel=2,
    )
    return prefix.with_suffix(".model")


def save_checkpoint(folder: Path, **changes: object) -> Path:
    """A random checkpoint of the published configuration, in the files that the hub has.

    Its weights are pickled, the output bias, which is not zero, stands in them twice, and constants
    of the attention's masks stand between them, as transformers wrote them in 2020.
    """
    torch.manual_seed(1)
    values = {**CRIME_AND_PUNISHMENT, "vocab_size": 320, **changes}
    model = ReformerModelWithLMHead(ReformerConfig(**values))
    weights = model.state_dict()
    weights["lm_head.bias"] = torch.randn(320)
    weights["lm_head.decoder.bias"] = weights["lm_head.bias"]
    for layer in range(len(model.config.attn_layers)):
        attention = f"reformer.encoder.layers.{layer}.attention.self_attention"
        weights[f"{attention}.mask_value_float16"] = torch.tensor(-1e4)
    model.config.architectures = ["ReformerModelWithLMHead"]
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    torch.save(weights, folder / "pytorch_model.bin")
    tokenizer(folder)
    (folder / "spiece.vocab").unlink()
    return folder


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _parquet(rows: Sequence[str]) -> bytes:
    content = io.BytesIO()
    datasets.Dataset.from_dict({"text": [*rows]}).to_parquet(content)
    return content.getvalue()


def _wikitext(rows: dict[str, list[str]]) -> Repository:
    files = {
        f"wikitext-2-raw-v1/{split}-00000-of-00001.parquet": _parquet(rows[split])
        for split in SPLITS
    }
    listed = "".join(
        f"  - {{split: {split}, path: wikitext-2-raw-v1/{split}-*}}\n" for split in SPLITS
    )
    card = f"---\nconfigs:\n- config_name: wikitext-2-raw-v1\n  data_files:\n{listed}---\n"
    return Repository(WIKITEXT_COMMIT, {"README.md": card.encode(), **files}, frozenset(files))


@dataclass(frozen=True)
class PaperSources:
    """Servers with everything that the paper profile fetches, and what their files are."""

    hub: Hub
    web: FileServer
    texts: dict[str, dict[str, bytes]]
    archive: bytes

    def overrides(self) -> Iterator[str]:
        """What `dvc exp run -S` must change of the profile so that it finds these files."""
        for split in SPLITS:
            wikitext, ptb = (self.texts[name][split] for name in ("wikitext-2", "ptb"))
            yield from _declared(f"corpora.wikitext-2.files.{split}", wikitext)
            yield from _declared(f"corpora.ptb.files.{split}", ptb)
            yield f"corpora.ptb.files.{split}.url={self.web.url}/{FILE_OF[split]}"
        enwik8 = "corpora.enwik8.files.all"
        yield from _declared(enwik8, self.archive)
        yield f"{enwik8}.url={self.web.url}/dc/enwik8.zip"
        yield f"{enwik8}.unpacked_sha256={sha256(self.texts['enwik8']['all'])}"
        yield f"{enwik8}.unpacked_size={len(self.texts['enwik8']['all'])}"
        yield "evaluate.unknown_limit=0.3"  # the little tokenizer lacks more than the published one


def _declared(key: str, content: bytes) -> Iterable[str]:
    return f"{key}.sha256='{sha256(content)}'", f"{key}.size={len(content)}"


@contextmanager
def paper_sources(folder: Path) -> Iterator[PaperSources]:
    """Serve small made-up corpora and a random checkpoint as the real places do."""
    sizes = {"train": 600, "validation": 400, "test": 400}
    rows = {split: wikitext_rows(sizes[split], seed) for seed, split in enumerate(SPLITS)}
    texts = {
        "wikitext-2": {split: wikitext_bytes(rows[split]) for split in SPLITS},
        "ptb": {split: ptb_lines(sizes[split], seed) for seed, split in enumerate(SPLITS, 10)},
        "enwik8": {"all": enwik8_bytes(2000, 20)},
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("enwik8", texts["enwik8"]["all"])
    files = {f"/{FILE_OF[split]}": texts["ptb"][split] for split in SPLITS}
    files["/dc/enwik8.zip"] = packed.getvalue()
    saved = save_checkpoint(folder / "checkpoint", **SMALL)
    model = {path.name: path.read_bytes() for path in saved.iterdir()}
    with FileServer(files) as web, FileServer({}) as elsewhere, Hub(elsewhere) as hub:
        hub.datasets[WIKITEXT] = _wikitext(rows)
        hub.models[CHECKPOINT] = Repository(
            CHECKPOINT_COMMIT, model, frozenset({"pytorch_model.bin", "spiece.model"})
        )
        yield PaperSources(hub, web, texts, packed.getvalue())
