"""What the tests on clusters need is locked, in a file of its own."""

from tests.lock_files import check_what_is_needed


def test_what_ray_and_s3_need_is_locked_too() -> None:
    assert check_what_is_needed(apart=True) > 30
