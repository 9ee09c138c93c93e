"""What is said to people when something is wrong, by the package that finds it.

The words live here and not beside the checks, so that a reworded message makes no result stale:
no stage of dvc.yaml depends on this package.
"""
