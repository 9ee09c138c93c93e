"""Print the results that are here: the tables of the report, and where its files are."""

from argparse import ArgumentParser, Namespace

from reformer_seqlen.reporting.report import print_results


def add_arguments(parser: ArgumentParser) -> None:
    """None: all results are shown."""


def run(_: Namespace) -> None:
    """Print the results."""
    print_results()
