"""The profiles of conf/: whole studies, each of which params.yaml can be made of."""

from pathlib import Path
from typing import Any

from reformer_seqlen.runtime.messages import parameters as messages
from reformer_seqlen.runtime.paths import CONF


def compose(profile: str, conf: Path = CONF) -> Any:
    """What `dvc exp run -S profile=PROFILE` makes params.yaml of.

    Raises:
        StudyError: there is no such profile.
    """
    known = sorted(path.stem for path in (conf / "profile").glob("*.yaml"))
    if profile not in known:
        raise messages.unknown_profile(profile, known)
    # Hydra takes half a second to import, which no stage needs.
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(conf.resolve()), version_base=None):
        composed = hydra_compose("config", overrides=[f"profile={profile}"])
    return OmegaConf.to_object(composed)
