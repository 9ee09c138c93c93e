"""Whether dvc.yaml is whole: one that has lost its stages looks finished to DVC."""

import re
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from reformer_seqlen.parameters.study import Study
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_text
from reformer_seqlen.runtime.paths import DVC_FILE

MEND = f"`git checkout {DVC_FILE}` brings back the committed one"
MODULES = "stages/[!_]*.py"
SECTION = re.compile(r"\$\{(?P<name>\w+)\}")


def check_stages(path: Path = DVC_FILE) -> None:
    """Refuse a dvc.yaml that lacks a stage, or repeats one over nothing.

    Raises:
        StudyError: it is that, or it can't be read.
    """
    try:
        values = YAML(typ="safe").load(read_text(path, MEND))
    except FileNotFoundError:
        raise StudyError(f"{path} is missing: {MEND}") from None
    except YAMLError as error:
        raise StudyError(f"{path} is not YAML: {MEND}\n{error}") from error
    stages = values.get("stages") if isinstance(values, dict) else None
    held = stages if isinstance(stages, dict) else {}
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
