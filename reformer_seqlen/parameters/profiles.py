"""The profiles of conf/: whole studies, each of which params.yaml can be made of."""

from pathlib import Path
from typing import Any

from reformer_seqlen.parameters.dialects import check_profile
from reformer_seqlen.parameters.study import Study, parse_study
from reformer_seqlen.runtime.files import read_text
from reformer_seqlen.runtime.messages import parameters as messages
from reformer_seqlen.runtime.paths import CONF


def compose(profile: str, conf: Path = CONF) -> Any:
    """What `make repro PROFILE=...` and `dvc exp run -S profile=...` make params.yaml of.

    Raises:
        StudyError: there is no such profile, or it can't be read.
    """
    known = sorted(path.stem for path in (conf / "profile").glob("*.yaml"))
    if profile not in known:
        raise messages.unknown_profile(profile, known)
    # Hydra takes half a second to import, which no stage needs.
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError  # type: ignore[import-untyped]

    path = conf / "profile" / f"{profile}.yaml"
    read_text(path)  # says where it is not UTF-8
    try:
        with initialize_config_dir(str(conf.resolve()), version_base=None):
            composed = hydra_compose("config", overrides=[f"profile={profile}"])
        values = OmegaConf.to_object(composed)
    except (HydraException, OmegaConfBaseException, YAMLError, RecursionError) as error:
        raise messages.not_composed(str(path), error) from error
    check_profile(profile, conf)
    return values


def load_profile(name: str) -> Study:
    """The study that a profile is.

    Raises:
        StudyError: there is no such profile, or it is no valid study.
    """
    return parse_study(compose(name), f"{CONF}/profile/{name}.yaml")
