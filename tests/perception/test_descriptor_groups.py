import pytest
import yaml

from sat3d.perception import DescriptorGroups, bundled_descriptors
from sat3d.world import WORLDS, load_world


@pytest.mark.parametrize("name", ["toyfaces", "toyanimals", "toycars", "faces", "animals", "cats", "cars"])
def test_bundled_files_are_what_they_say(name):
    groups = DescriptorGroups.from_yaml(name)
    assert name in bundled_descriptors()
    assert len(groups.attributes) >= 3
    assert all(len(set(phrases)) >= 2 for sets in groups.groups.values() for phrases in sets)
    assert all("{}" in template for template in groups.templates)


@pytest.mark.parametrize("name", WORLDS)
def test_every_phrase_of_a_worlds_file_names_a_class_of_the_world(name):
    from sat3d.pretraining.clip import phrase_classes

    world = load_world(name)
    groups = DescriptorGroups.from_yaml(world.domain.generator)
    assert groups.attributes == world.editable()
    assert groups.templates == [f"{world.domain.noun} with {{}}"]
    for attribute in groups.attributes:
        for phrases in groups.groups[attribute]:
            assert phrase_classes(world, attribute, list(phrases)) == list(
                range(len(world.attribute(attribute).classes))
            )


def test_a_file_of_ones_own(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(
        "templates: a head with {}\nattributes:\n  hat:\n    - [no hat, a cap]\n    - [a red cap, a blue cap]\n"
    )
    groups = DescriptorGroups.from_yaml(file)
    assert groups.templates == ["a head with {}"]
    assert groups.groups["hat"] == [["no hat", "a cap"], ["a red cap", "a blue cap"]]
    assert groups.subset(["hat"]).attributes == ("hat",)
    with pytest.raises(ValueError, match=r"unknown attributes \['beard'\]; known: hat"):
        groups.subset(["beard"])


WRONG = {
    "no attributes": ({"templates": ["{}"]}, "at least one attribute"),
    "unknown key": ({"attribute": {}}, r"unknown keys \['attribute'\]; allowed: templates, attributes"),
    "template": ({"templates": ["a head"], "attributes": {"hat": [["a", "b"]]}}, "template 'a head' must contain"),
    "text for groups": ({"attributes": {"hat": "a cap"}}, "attribute 'hat': expected a list of groups"),
    "flat": ({"attributes": {"hat": ["a cap", "no hat"]}}, "'hat', group 1: expected a list of phrases, found 'a cap'"),
    "one phrase": ({"attributes": {"hat": [["a", "b"], ["c"]]}}, "'hat', group 2: needs at least two phrases, found 1"),
    # what YAML makes of a bare no
    "not text": ({"attributes": {"hat": [[False, "a cap"]]}}, "group 1: False is not a text; put it in quotes"),
    "repeated": ({"attributes": {"hat": [["a", "a"]]}}, r"group 1: repeated phrases \['a'\]"),
    "empty": (None, "expected a mapping"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_name_file_attribute_and_reason(tmp_path, case):
    content, message = WRONG[case]
    file = tmp_path / "wrong.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=message) as caught:
        DescriptorGroups.from_yaml(file)
    assert str(file) in str(caught.value)


def test_unparsable_and_missing_files(tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text("attributes: [")
    with pytest.raises(ValueError, match="not valid YAML"):
        DescriptorGroups.from_yaml(file)
    with pytest.raises(
        FileNotFoundError, match="bundled name: animals, cars, cats, faces, toyanimals, toycars, toyfaces"
    ):
        DescriptorGroups.from_yaml("face")
