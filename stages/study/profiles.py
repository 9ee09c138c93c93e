"""The profiles of conf/: whole studies, each of which params.yaml can be made of."""

import tempfile
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from stages.study.errors import StudyError
from stages.study.layout import CONF


def compose(profile: str, conf: Path = CONF) -> Any:
    """What `dvc exp run -S profile=PROFILE` would make params.yaml of.

    Raises:
        StudyError: there is no such profile.
    """
    known = sorted(path.stem for path in (conf / "profile").glob("*.yaml"))
    if profile not in known:
        raise StudyError(f"there is no profile `{profile}`: choose one of {', '.join(known)}")
    # dvc takes a second to import, which no stage needs.
    from dvc.utils.hydra import compose_and_dump

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "params.yaml"
        compose_and_dump(target, str(conf.resolve()), None, "config", "", [f"profile={profile}"])
        return YAML(typ="safe").load(target)
