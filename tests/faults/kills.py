"""Kills, at random and aimed moments, of a study that is started again after each."""

import os
import random
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import psutil

from tests.faults.study import LONGEST_SECONDS, Moment, Study

if TYPE_CHECKING:
    import subprocess

REPRO = ("reformer_seqlen", "repro")
AIMED = {
    "download@news": [
        Moment("locks/download@news.holder", "open"),
        Moment("data/texts/.news.partial"),
    ],
    "pretrain@tiny": [
        Moment("locks/pretrain@tiny.holder", "open"),
        Moment("pretrain/tiny/.fingerprint.json.partial"),
        Moment("pretrain/tiny/phase-0/.initial.partial"),
        Moment("/trainer_state.json", "open"),
        Moment("/.complete.json.partial", "open"),
        Moment("/.complete.json.partial"),
        Moment("data/bases/.tiny.partial/MD5SUMS", "open"),
        Moment("data/bases/.tiny.partial"),
        Moment("data/base_tokens/.tiny.partial"),
        Moment("work/pretrain/tiny"),
        Moment("data/tokenizers/.tiny.partial"),
    ],
    "tokenize@news-tiny": [
        Moment("locks/tokenize@news-tiny.holder", "open"),
        Moment("/.train.bytes.npy.partial"),
        Moment("data/tokens/.news-tiny.partial"),
        Moment("work/tokenize/news-tiny"),
    ],
    "count@news-3gram": [Moment("data/counts/.news-3gram.partial")],
    "chunk@news-64": [Moment("data/windows/.news-64.partial")],
    "chunk@news-256": [Moment("data/windows/.news-256.partial/MD5SUMS", "open")],
    "finetune@news-64": [
        Moment("locks/finetune@news-64.holder", "open"),
        Moment("finetune/news-64/.initial.partial"),
        Moment("finetune/news-64/checkpoint-5/trainer_state.json", "open"),
        Moment("finetune/news-64/checkpoint-5/.complete.json.partial"),
        Moment("finetune/news-64/checkpoint-10/trainer_state.json", "open"),
        Moment("finetune/news-64/checkpoint-5", "shutil.rmtree"),
        Moment("finetune/news-64/checkpoint-15/.complete.json.partial", act="SIGTERM"),
        Moment("data/models/.news-64.partial"),
        Moment("data/histories/.news-64.json.partial"),
        Moment("data/timings/finetune/.news-64.json.partial"),
        Moment("work/finetune/news-64"),
    ],
    "evaluate@news-64": [
        Moment("locks/evaluate@news-64.holder", "open"),
        Moment("data/evaluations/.news-64.partial"),
        Moment("work/evaluate/news-64"),
    ],
    "benchmark_memory": [Moment("data/.memory.partial")],
    "report": [Moment(".metrics.partial"), Moment(".README.md.partial")],
}
"""Mid lock, mid checkpoint and mid rename, in the order in which the study comes to them."""
LONGEST_WAIT = 20.0
"""Seconds from the start of a study to a kill at a random moment."""


class Tally(NamedTuple):
    """How many kills there were, and after how many the study ended with the same bytes."""

    survived: int
    tried: int


def victims(started: "subprocess.Popen[bytes]", study: Study) -> dict[str, list[int]]:
    """Whom a kill may hit: all, the stages alone, dvc alone, or `make repro` alone."""
    found: dict[str, list[int]] = {"all": [], "stage": [], "dvc": [], "repro": [started.pid]}
    for process in study.processes():
        with suppress(psutil.Error):
            words = process.cmdline()
            found["all"].append(process.pid)
            if any(word.startswith("stages.") for word in words):
                found["stage"].append(process.pid)
            elif "dvc" in words:
                found["dvc"].append(process.pid)
    return found


def kill_at_random(started: "subprocess.Popen[bytes]", study: Study, chance: random.Random) -> bool:
    """Kill something after a while, or tell it to end; whether it was still there."""
    until = time.monotonic() + chance.uniform(0.0, LONGEST_WAIT)
    while time.monotonic() < until and started.poll() is None:
        time.sleep(0.01)
    if started.poll() is not None:
        return False
    number = chance.choice([signal.SIGKILL] * 4 + [signal.SIGTERM, signal.SIGINT])
    found = victims(started, study)
    who = chance.choice([name for name, ids in found.items() if ids])
    for process_id in found[who]:
        with suppress(ProcessLookupError):
            os.kill(process_id, number)
    return True


def aimed(chance: random.Random, number: int) -> list[tuple[str, Moment]]:
    """So many aimed moments and the stages that come to them, in the study's order."""
    everything = [(stage, moment) for stage, moments in AIMED.items() for moment in moments]
    return sorted(chance.sample(everything, min(number, len(everything))), key=everything.index)


def survive(study: Study, expected: dict[str, str], number: int, seed: int) -> Tally:
    """Kill a study that has computed nothing again and again, and compare what it ends with.

    The aimed moments come first. A study that ends before it is killed is begun anew.
    """
    chance, survived, tried, pending = random.Random(seed), 0, 0, 0
    study.forget()
    for stage, moment in aimed(chance, number):
        tried += 1
        pending += kill_at(study, stage, moment)
        print(f"kill {tried}: {stage}, {moment.event} {moment.path}", flush=True)
    while tried < number:
        with study.start(*REPRO, "--jobs", chance.choice("12")) as started:
            killed = kill_at_random(started, study, chance)
            started.wait(LONGEST_SECONDS)
        if killed:
            tried, pending = tried + 1, pending + 1
            print(f"kill {tried}: at random", flush=True)
        else:
            survived += pending * whole(study, started.returncode, expected)
            pending = 0
            study.forget()
    status, _ = study.run(*REPRO)
    return Tally(survived + pending * whole(study, status, expected), tried)


def whole(study: Study, status: int, expected: dict[str, str]) -> bool:
    """Whether a study that nobody killed has succeeded, with the bytes that it should."""
    if status:
        print(study.log.read_text(errors="replace"), flush=True)
    return status == 0 and same(study, expected)


def kill_at(study: Study, stage: str, moment: Moment) -> bool:
    """Have a stage killed at a moment; whether it was, and the study ended in no traceback."""
    study.aim(moment)
    status, printed = study.run(*REPRO, stage)
    reached = not study.plan.exists()
    study.plan.unlink(missing_ok=True)
    if not reached or status == 0 or "Traceback" in printed:
        print(f"{stage} did not come to {moment}, status {status}:\n{printed}", flush=True)
        return False
    return True


def same(study: Study, expected: dict[str, str]) -> bool:
    """Whether the study has ended with the bytes that it should; says what has not."""
    found = study.results()
    other = sorted(name for name in expected | found if expected.get(name) != found.get(name))
    if other:
        print(f"not the same: {', '.join(other)}", flush=True)
    return not other
