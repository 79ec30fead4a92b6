import numpy as np
import pytest

from sat3d.world import load_world, world_of


def test_the_table_is_what_the_benchmark_needs(world):
    attributes = world.attributes
    assert len(world.editable()) >= 10
    assert len(world.identity()) >= 4
    assert {a.kind for a in attributes if a.role == "editable"} == {"continuous", "categorical"}
    assert len({a.name for a in attributes}) == len(attributes)
    assert world.parts[0] == "background" and len(set(world.parts)) == len(world.parts)
    assert set(world.domain.small_parts) <= set(world.parts)
    for a in attributes:
        assert sum(a.probabilities) == pytest.approx(1), a.name
        assert min(a.probabilities) >= 0.08, a.name
        assert set(a.parts) <= set(world.parts), a.name
        assert set(a.phrases) == set(a.classes), a.name
        assert set(a.adjectives) <= set(a.classes), a.name
        assert a.kind == "categorical" or len(a.classes) == 2, a.name


def test_a_phrase_names_one_class_only(world):
    phrases = [phrase for a in world.attributes for words in a.phrases.values() for phrase in words]
    assert len(set(phrases)) == len(phrases)


def test_correlations_are_a_correlation_matrix_with_some_correlations(world):
    matrix = world.correlations
    assert np.array_equal(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix).min() > 0.05
    assert (np.abs(np.triu(matrix, 1)) >= 0.3).sum() >= 4


def test_unknown_class_is_refused_with_the_choice():
    glasses = load_world("heads").attribute("glasses")
    assert glasses.class_index("round") == 1 == glasses.class_index(1)
    for wrong in ("monocle", 4, -1, 1.5):
        with pytest.raises(ValueError, match="none, round, square, sunglasses"):
            glasses.class_index(wrong)


def test_worlds_are_found_by_their_name_and_by_what_was_trained_on_them(world):
    assert world_of(f"{world.domain.generator}64") is world
    assert world_of("stylegan2-ada-ffhq") is None
    with pytest.raises(ValueError, match="heads, animals, cars"):
        load_world("planes")
