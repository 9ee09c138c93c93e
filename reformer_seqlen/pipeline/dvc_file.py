"""dvc.yaml: whether it is whole, as one without stages looks finished to DVC; what stages read."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reformer_seqlen.parameters.study import Study
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_text
from reformer_seqlen.runtime.paths import DATA, DVC_FILE

MEND = f"`git checkout HEAD {DVC_FILE}` brings back the committed one"
MODULES = "stages/[!_]*.py"
VALUE = re.compile(r"\$\{(?P<name>[\w.]+)\}")
SECTION = re.compile(r"\$\{(?P<name>\w+)\}")


def check_stages(path: Path = DVC_FILE) -> None:
    """Refuse a dvc.yaml that lacks a stage, or repeats one over nothing.

    Raises:
        StudyError: it is that, or it can't be read.
    """
    held = _stages(path)
    modules = sorted(module.stem for module in path.parent.glob(MODULES))
    if lacking := [name for name in modules if name not in held]:
        raise StudyError(f"{path} has no stage {', '.join(lacking)}: {MEND}")
    for name, stage in held.items():
        each = stage.get("foreach") if isinstance(stage, dict) else None
        section = SECTION.fullmatch(str(each))
        if each is not None and (section is None or section["name"] not in Study.model_fields):
            raise StudyError(
                f"{path}: the stage {name} is to run for each of {each!r:.60}, which is no section "
                f"of params.yaml: {MEND}"
            )


def inputs(
    stage: str, key: str | None, item: Mapping[str, Any], path: Path = DVC_FILE
) -> list[Path]:
    """What a stage reads of data/: the dependencies that dvc.yaml gives it.

    Args:
        stage: its name.
        key: of the item it works on; None if it works on the study as a whole.
        item: of the section that it is repeated over.
        path: dvc.yaml; where there is none, as for a stage that is run by hand elsewhere, nothing
            is known of what it reads.

    Raises:
        StudyError: dvc.yaml can't be read.
    """
    if not path.exists():
        return []
    declared = _stages(path).get(stage, {})
    names = {"key": key, **{f"item.{name}": value for name, value in item.items()}}
    found = [
        VALUE.sub(lambda match: str(names[match["name"]]), dep)
        for dep in declared.get("do", declared).get("deps", [])
    ]
    return [Path(dep) for dep in found if Path(dep).is_relative_to(DATA)]


def _stages(path: Path) -> dict[str, Any]:
    """The stages that a dvc.yaml holds.

    Raises:
        StudyError: it can't be read.
    """
    try:
        values = YAML(typ="safe").load(read_text(path, MEND))
    except FileNotFoundError:
        raise StudyError(f"{path} is missing: {MEND}") from None
    except YAMLError as error:
        raise StudyError(f"{path} is not YAML: {MEND}\n{error}") from error
    stages = values.get("stages") if isinstance(values, dict) else None
    return stages if isinstance(stages, dict) else {}
