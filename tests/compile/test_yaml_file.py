"""What one object in several lists becomes in generated YAML."""

from ruamel.yaml import YAML

from slotel.compile.yaml_file import yaml_text

SHARED = {"statements": ['set(a, "it\'s")', "b"], "conditions": []}
DOCUMENT = {
    "first": [SHARED, {"x": 1}],
    "second": {"list": [{"x": 1}, SHARED]},
    "third": [[SHARED]],
}


def test_a_shared_mapping_is_written_once_and_read_as_it_was():
    text = yaml_text(DOCUMENT, anchors=True)
    assert text.count("statements:") == 1
    assert YAML(typ="safe", pure=True).load(text) == DOCUMENT


def test_without_anchors_each_is_written_out():
    text = yaml_text(DOCUMENT)
    assert text.count("statements:") == 3 and "&" not in text
    assert YAML(typ="safe", pure=True).load(text) == DOCUMENT


def test_equal_mappings_that_are_not_the_same_object_are_no_alias():
    assert "&" not in yaml_text({"a": [{"x": 1}], "b": [{"x": 1}]}, anchors=True)
