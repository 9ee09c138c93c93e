"""params.yaml against the profile that it names."""

from pathlib import Path

from ruamel.yaml import YAML

from reformer_seqlen.checking.differences import Difference, differences
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.runtime.paths import CONF, PARAMS


def compare_profile(params: Path = PARAMS, conf: Path = CONF) -> list[Difference]:
    """What a params.yaml says otherwise than its profile.

    Raises:
        StudyError: there is no such profile.
    """
    values = YAML(typ="safe").load(params)
    profile = values["profile"]
    labels = (f"{params} has", f"profile {profile} has")
    return list(differences(str(params), values, compose(profile, conf), 0.0, labels))
