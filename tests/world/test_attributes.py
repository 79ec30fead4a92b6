import numpy as np
import pytest

from sat3d.world import PARTS, HeadWorld
from sat3d.world.attributes import read_attributes, read_correlations


def test_the_table_is_what_the_benchmark_needs():
    attributes = read_attributes()
    assert len(attributes) >= 16
    assert len(HeadWorld().editable()) >= 10
    assert len(HeadWorld().identity()) >= 6
    assert len({a.name for a in attributes}) == len(attributes)
    for a in attributes:
        assert sum(a.probabilities) == pytest.approx(1), a.name
        assert min(a.probabilities) >= 0.08, a.name
        assert set(a.parts) <= set(PARTS), a.name
        assert set(a.phrases) == set(a.classes), a.name
        assert set(a.adjectives) <= set(a.classes), a.name
        assert a.kind == "categorical" or len(a.classes) == 2, a.name


def test_a_phrase_names_one_class_only():
    phrases = [phrase for a in read_attributes() for words in a.phrases.values() for phrase in words]
    assert len(set(phrases)) == len(phrases)


def test_correlations_are_a_correlation_matrix():
    matrix = read_correlations()
    assert np.array_equal(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0.05


def test_unknown_class_is_refused_with_the_choice():
    glasses = HeadWorld().attribute("glasses")
    assert glasses.class_index("round") == 1 == glasses.class_index(1)
    for wrong in ("monocle", 4, -1, 1.5):
        with pytest.raises(ValueError, match="none, round, square, sunglasses"):
            glasses.class_index(wrong)
