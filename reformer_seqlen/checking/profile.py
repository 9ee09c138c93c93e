"""params.yaml against the profile that it names."""

from pathlib import Path

from reformer_seqlen.checking.differences import Difference, differences
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import read_whole
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.paths import CONF, PARAMS


def compare_profile(params: Path = PARAMS, conf: Path = CONF) -> list[Difference]:
    """What a params.yaml says otherwise than its profile.

    Raises:
        StudyError: there is no such profile.
    """
    values = read_whole(params)
    profile = values.get("profile") if isinstance(values, dict) else None
    if not isinstance(profile, str):
        raise StudyError(f"{params} names no `profile`: put `profile: NAME` into it")
    labels = (f"{params} has", f"profile {profile} has")
    return list(differences(str(params), values, compose(profile, conf), 0.0, labels))
