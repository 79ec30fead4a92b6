"""The search for strengths, on responses that are formulas."""

import math

import pytest
import torch

from sat3d.evaluation.comparison.strengths import Response, match_strengths, response_of


def search(curve, start, wanted, response=None, **options):
    asked = []

    def read(trial, rows, strengths):
        asked.append((trial, rows.tolist()))
        return curve(rows, strengths)

    response = response or Response(torch.tensor([1.0, 2.0, 8.0]), torch.tensor([1.0, 2.0, 8.0]))
    return match_strengths(read, torch.tensor(start), torch.tensor(wanted), response, **options), asked


def test_a_line_that_is_the_average_is_met_at_once():
    found, asked = search(lambda _, d: d - 1.0, [-1.0] * 3, [0.5, 2.0, 5.0])
    torch.testing.assert_close(found.strength, torch.tensor([1.5, 3.0, 6.0]))
    assert found.reached.all() and asked == [(0, [0, 1, 2])]
    assert found.strengths[:, 1:].isnan().all()


def test_each_code_gets_its_own_strength_and_no_more_renderings_than_it_needs():
    slope = torch.tensor([1.0, 0.4, 3.0])
    found, asked = search(lambda rows, d: slope[rows] * d, [0.0] * 3, [2.0] * 3, trials=6, tolerance=0.05)
    assert found.reached.all()
    torch.testing.assert_close(slope * found.strength, torch.full((3,), 2.0), atol=0.1, rtol=0)
    torch.testing.assert_close(found.reading, slope * found.strength)
    assert asked[0] == (0, [0, 1, 2]) and asked[1] == (1, [1, 2]) and len(asked) <= 6


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_curves_are_met_up_to_the_tolerance_in_five_renderings(power):
    scale = torch.linspace(0.5, 2, 50)
    found, _ = search(lambda rows, d: 4 * (scale[rows] * d / 8) ** power, [0.0] * 50, [1.0] * 50, trials=5)
    assert found.reached.float().mean() > 0.95
    assert (found.reading[found.reached] >= 0.9).all()
    assert (found.reading[found.reached] - 1).abs().median() < 0.1


def test_of_several_that_suffice_the_one_that_reads_least():
    steps = lambda _, d: torch.where(d > 3, 9.0, torch.where(d > 1.1, 2.5, 0.0))  # noqa: E731
    found, _ = search(steps, [0.0], [2.0], Response(torch.tensor([8.0]), torch.tensor([4.0])), trials=5)
    assert found.reached.all() and found.reading.tolist() == [2.5]


def test_failures_are_at_their_strongest_and_end_early():
    response = Response(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([1.0, 3.0, 2.0]))
    assert response.peak == 2.0 and response.most == 4.0
    found, asked = search(lambda _, d: 1 - (d - 2).square(), [-3.0], [5.0], response)
    assert not found.reached.any() and found.strength.tolist() == [2.0] and found.reading.tolist() == [1.0]
    assert len(asked) == 2  # the peak, and twice that; there is nothing further


def test_guesses_follow_the_average_code():
    response = Response(torch.tensor([1.0, 3.0]), torch.tensor([0.5, 2.5]))
    torch.testing.assert_close(response.guess(torch.tensor([0.25, 1.5, 99.0])), torch.tensor([0.5, 2.0, 3.0]))


def test_the_response_averages_codes():
    start = torch.tensor([-1.0, -3.0])
    found = response_of(lambda d: start + d * torch.tensor([1.0, 3.0]), start, (1.0, 2.0))
    assert found.change.tolist() == [2.0, 4.0] and math.isclose(found.most, 4.0)
