"""params.yaml made of a profile as `dvc exp run` makes it, unless lines of one's own were lost."""

from pathlib import Path

from reformer_seqlen.checking.head import text_of
from reformer_seqlen.checking.profile import compare_profile
from reformer_seqlen.parameters.profiles import compose
from reformer_seqlen.parameters.study import read_whole
from reformer_seqlen.runtime.errors import StudyError
from reformer_seqlen.runtime.files import read_text, whole_file
from reformer_seqlen.runtime.paths import PARAMS


def make_params(profile: str, path: Path = PARAMS) -> None:
    """Write a profile's parameters, unless they are there already.

    Raises:
        StudyError: there is no such profile, or the file has lines that nothing else has.
    """
    from omegaconf import OmegaConf  # half a second with hydra, which most commands do not need

    values = compose(profile)
    if path.exists():
        made = _is_made_of_a_profile(path)
        if made and read_whole(path) == values:
            return
        if not made and read_text(path) != text_of(path):
            raise StudyError(
                f"{path} has lines that would be lost, since no commit and no profile has them: "
                f"commit it, or take it back with `git checkout {path}`"
            )
    with whole_file(path) as new:
        new.write_text(OmegaConf.to_yaml(OmegaConf.create(values)), encoding="utf-8")


def _is_made_of_a_profile(path: Path) -> bool:
    try:
        return not compare_profile(path)
    except StudyError:  # of no known profile, or it can't be read
        return False
