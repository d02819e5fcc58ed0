from __future__ import annotations

from analytics.comparing.evidence import Tested, judge, overall


class Moved(Tested, kw_only=True):
    by: float = 1.0

    @property
    def direction(self) -> float:
        return self.by


def test_the_smallest_p_value_is_weighed_by_all_tests_the_next_by_the_rest() -> None:
    # Holm (1979): 0.01 * 4, 0.015 * 3, 0.03 * 2, 0.2 * 1; none below the one before.
    family = [Moved(p_value=p) for p in (0.03, 0.01, 0.2, 0.015)]
    assert judge(family) == 4
    assert [(each.adjusted_p_value, each.verdict) for each in family] == [
        (0.06, "no evidence"),
        (0.04, "worse"),
        (0.2, "no evidence"),
        (0.045, "worse"),
    ]


def test_what_could_not_be_tested_is_not_counted() -> None:
    family = [Moved(p_value=0.04, by=-1), Moved(p_value=None)]
    assert judge(family) == 1
    assert family == [
        Moved(p_value=0.04, adjusted_p_value=0.04, verdict="better", by=-1),
        Moved(),
    ]
    assert judge([]) == 0


def test_tests_that_found_nothing_count_as_well() -> None:
    family = [Moved(p_value=0.02)]
    assert judge(family, others=2) == 3
    assert (family[0].adjusted_p_value, family[0].verdict) == (0.06, "no evidence")


def test_whatever_got_worse_counts_first() -> None:
    worse, better, nothing = (
        Moved(verdict="worse"),
        Moved(verdict="better"),
        Moved(verdict="no evidence"),
    )
    assert overall([nothing, better, worse]) == "worse"
    assert overall([nothing, better]) == "better"
    assert overall([nothing]) == overall([]) == "no evidence"
