"""The paper's numbers: complete, in range, and a few of them read off the paper again."""

import pytest

from workbench.evaluation import subsets
from workbench.objectives import METHODS
from workbench.published import COHERENCE, DATA, LINEAR_PROBE, RANDOM_COHERENCE

ROWS = {name + style for name in METHODS for style in ("", "-ms")}
NAMES = [",".join(subset) for subset in subsets("MST")]


def test_tables_are_complete():
    assert DATA == "mnist-svhn-text"
    assert LINEAR_PROBE.keys() == COHERENCE.keys() == RANDOM_COHERENCE.keys() == ROWS
    paths = {(target, given) for target in "MST" for given in NAMES if target not in given}
    for row in ROWS:
        assert [*LINEAR_PROBE[row]] == NAMES
        assert COHERENCE[row].keys() == paths
        numbers = [*LINEAR_PROBE[row].values(), *COHERENCE[row].values(), RANDOM_COHERENCE[row]]
        assert all(0.1 <= x <= 1 for x in numbers)


@pytest.mark.parametrize(
    ("table", "row", "column", "value"),
    [
        (LINEAR_PROBE, "mvae", "M", 0.85),
        (LINEAR_PROBE, "mvae", "S,T", 0.46),
        (LINEAR_PROBE, "mmjsd", "M,S,T", 0.98),
        (LINEAR_PROBE, "mmjsd-ms", "S", 0.85),
        (COHERENCE, "mvae-ms", ("M", "S"), 0.16),
        (COHERENCE, "mvae-ms", ("S", "M,T"), 0.85),
        (COHERENCE, "mvae-ms", ("T", "M"), 0.24),
    ],
)
def test_single_numbers(table, row, column, value):
    assert table[row][column] == value


def test_random_coherence_of_the_paper_is_the_count_of_its_code():
    assert RANDOM_COHERENCE["mvae-ms"] == 0.74
    assert min(RANDOM_COHERENCE.values()) > 0.5
