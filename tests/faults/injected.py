"""Faults of disks, memory and other processes: each ends in one message, or with the same bytes."""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from reformer_seqlen.runtime.checkpoints import COMPLETE, checkpoints
from reformer_seqlen.runtime.stored import SUMS, read_sums
from tests.faults.study import Moment, Study

RUN = "news-64"
CHECKPOINT = Moment(f"finetune/{RUN}/checkpoint-15/trainer_state.json", "open")
FAULTS: dict[str, Callable[[Study], None]] = {}
"""By name; each raises AssertionError if the study does not bear it."""

Fault = Callable[[Study], None]


def fault(check: Fault) -> Fault:
    """Enter a check under its name."""
    FAULTS[check.__name__.replace("_", " ")] = check
    return check


@contextmanager
def put_back(*paths: Path) -> Iterator[None]:
    """Have files and folders as they were after the block."""
    kept = [(path, path.with_name(f".{path.name}.kept")) for path in paths]
    for path, copy in kept:
        if path.is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copy2(path, copy)
    try:
        yield
    finally:
        for path, copy in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            copy.rename(path)


def flip(path: Path) -> None:
    """Change a bit in the middle of a file."""
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    path.write_bytes(held)


def truncate(path: Path) -> None:
    """Leave half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def refuses(study: Study, words: list[str], *stage: str) -> None:
    """A stage ends in one message that holds some words, and computes nothing."""
    before = study.results()
    status, printed = study.stage(*stage)
    assert status == 1, printed
    assert "Traceback" not in printed, printed
    assert printed.count("error: ") == 1, printed
    for word in words:
        assert word in printed, printed
    assert study.results() == before


def goes_on(study: Study, said: str = "") -> None:
    """The fine-tuning that was stopped ends with the bytes that it had before."""
    before = {name: sum_ for name, sum_ in study.results().items() if f"/{RUN}" in name}
    status, printed = study.stage("finetune", RUN)
    assert status == 0, printed
    assert said in printed, printed
    found = study.results()
    assert {name: found.get(name) for name in before} == before


def stop(study: Study, act: str = "SIGKILL") -> str:
    """Stop a fine-tuning while it writes its third checkpoint; what it printed."""
    study.aim(replace(CHECKPOINT, act=act))
    status, printed = study.stage("finetune", RUN)
    assert status != 0, printed
    assert not study.plan.exists(), printed
    return printed


def newest(study: Study) -> list[Path]:
    """The whole checkpoints of the stopped fine-tuning, the newest first."""
    folder = study.root / "work/finetune" / RUN
    return [path for path in checkpoints(folder) if (path / COMPLETE).exists()]


def _stored(path: str, damage: Callable[[Path], None], *stage: str) -> Fault:
    def check(study: Study) -> None:
        file = study.root / path
        with put_back(file):
            damage(file)
            refuses(study, [f"{path} is damaged", "make repro"], *stage)

    return check


STORED = {
    "a truncated token file": ("data/tokens/news-tiny/train.ids.npy", truncate, "finetune", RUN),
    "a flipped token file": ("data/tokens/news-tiny/train.ids.npy", flip, "chunk", RUN),
    "a truncated window index": (f"data/windows/{RUN}/train.npy", truncate, "finetune", RUN),
    "a flipped window index": (f"data/windows/{RUN}/train.npy", flip, "finetune", RUN),
    "a truncated model": (f"data/models/{RUN}/model.safetensors", truncate, "evaluate", RUN),
    "a flipped model": (f"data/models/{RUN}/model.safetensors", flip, "evaluate", RUN),
    "a flipped base": ("data/bases/tiny/model.safetensors", flip, "finetune", RUN),
    "a flipped tokenizer": ("data/tokenizers/tiny/spiece.model", flip, "tokenize", "news-tiny"),
    "a flipped text": ("data/texts/news/train.txt", flip, "tokenize", "news-tiny"),
    "sums that are cut off": ("data/tokens/news-tiny/MD5SUMS", truncate, "chunk", RUN),
}
FAULTS |= {name: _stored(*stored) for name, stored in STORED.items()}


def _refused(act: str, words: list[str]) -> Fault:
    def check(study: Study) -> None:
        printed = stop(study, act)
        assert "Traceback" not in printed, printed
        for word in [*words, "run the same command again"]:
            assert word in printed, printed
        assert newest(study)
        goes_on(study, said="going on from update 10")

    return check


FAULTS |= {
    "a disk that fills under a checkpoint": _refused("ENOSPC", ["checkpoint-15", "No space left"]),
    "a folder that becomes read-only": _refused("EROFS", ["checkpoint-15", "Read-only"]),
    "a limit of memory": _refused("no memory", ["memory that this process may use ran out"]),
}


@fault
def a_kill_while_a_checkpoint_is_written(study: Study) -> None:
    stop(study)
    goes_on(study, said="going on from update 10")


@fault
def a_disk_that_fills_under_tokens(study: Study) -> None:
    study.aim(Moment("/.train.rows.npy.partial", "open", act="ENOSPC"))
    refuses(study, ["No space left", "free some space"], "tokenize", "news-tiny")


@fault
def a_damaged_copy_in_the_cache(study: Study) -> None:
    """DVC brings it back without a look, and it is not trained on."""
    tokens = study.root / "data/tokens/news-tiny"
    digest = read_sums(tokens / SUMS)["train.ids.npy"]
    copy = study.root / ".dvc/cache/files/md5" / digest[:2] / digest[2:]
    with put_back(tokens, copy):
        copy.chmod(0o644)
        flip(copy)
        copy.chmod(0o444)
        shutil.rmtree(tokens)
        status, printed = study.run("dvc", "checkout", "data/tokens/news-tiny")
        assert status == 0, printed
        refuses(study, ["train.ids.npy is damaged", "DVC's copy", str(copy.name)], "finetune", RUN)


@fault
def a_flipped_checkpoint(study: Study) -> None:
    stop(study)
    flip(newest(study)[0] / "model.safetensors")
    goes_on(study, said="going on from update 5")


@fault
def a_truncated_checkpoint(study: Study) -> None:
    stop(study)
    truncate(newest(study)[0] / "optimizer.pt")
    goes_on(study, said="going on from update 5")


@fault
def no_checkpoint_that_is_whole(study: Study) -> None:
    stop(study)
    for path in newest(study):
        truncate(path / COMPLETE)
    goes_on(study, said="is damaged")


@fault
def other_parameters(study: Study) -> None:
    stop(study)
    params = study.root / "params.yaml"
    with put_back(params):
        params.write_text(
            params.read_text().replace("max_gradient_norm: 1.0", "max_gradient_norm: 2")
        )
        printed = stop(study)
    assert "max_gradient_norm: 1.0 -> 2.0" in printed, printed
    place = study.root / f"work/set-aside/finetune/{RUN}-1"
    assert (place / "checkpoint-10" / COMPLETE).exists()
    goes_on(study, said="was set aside")


@fault
def a_lock_that_is_held(study: Study) -> None:
    folder = study.root / "work/locks"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"chunk@{RUN}.holder").write_text("process 7 on here")
    with (folder / f"chunk@{RUN}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with study.start("stages.chunk", RUN) as waiting:
            while b"waiting until that has ended" not in study.log.read_bytes():
                assert waiting.poll() is None, study.log.read_text()
            fcntl.flock(lock, fcntl.LOCK_UN)
        assert waiting.returncode == 0
    assert f"chunk@{RUN}: process 7 on here runs it already" in study.log.read_text()


@fault
def locks_of_dvc_that_were_cut_off(study: Study) -> None:
    (study.root / ".dvc/tmp/rwlock").write_text("")
    status, printed = study.run("reformer_seqlen", "repro", f"chunk@{RUN}")
    assert status == 0, printed
    assert "rwlock was cut off while it was written" in printed


@fault
def a_record_of_dvc_that_was_cut_off(study: Study) -> None:
    before = study.results()
    for size in (0, 5000):
        lock = study.root / "dvc.lock"
        lock.write_bytes(lock.read_bytes()[:size])
        status, printed = study.run("reformer_seqlen", "repro", f"chunk@{RUN}")
        assert status == 0, printed
        assert "Traceback" not in printed, printed
    assert study.results() == before


@fault
def a_signal_to_end(study: Study) -> None:
    """SIGTERM while checkpoint 15 is written: another follows after the next update."""
    printed = stop(study, "SIGTERM")
    assert "interrupted: writing a checkpoint" in printed, printed
    assert "interrupted: run the same command again" in printed, printed
    goes_on(study, said="going on from update 16")


def bear(study: Study, names: list[str]) -> list[str]:
    """Inject faults, one after another; the names of those that the study did not bear."""
    failed = []
    for name in names:
        try:
            FAULTS[name](study)
            print(f"fault: {name}", flush=True)
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            failed.append(name)
            print(f"fault: {name}: NOT BORNE\n{error}", file=sys.stderr, flush=True)
            shutil.rmtree(study.root / "work", ignore_errors=True)
    return failed
