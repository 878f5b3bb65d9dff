"""What slotel counts about itself, as its own store shows it."""

import pytest

from slotel.config import names
from slotel.config.service import read_service
from slotel.runtime.metrics.self_metrics import SelfMetrics
from slotel.runtime.metrics.store.store import Store


def sentry_errors(store: Store) -> dict[tuple[str, ...], float]:
    (family,) = [each for each in store.snapshot() if each.name == names.SENTRY_ERRORS]
    assert family.label_names == ("project", "environment", "project_id")
    return {labels: values[0] for labels, values in family.series.items()}


@pytest.mark.parametrize(("name", "label"), [("checkout", "checkout"), (None, "42")])
def test_errors_are_counted_under_the_name_of_the_project_with_its_number_beside_it(name, label):
    store = Store()
    metrics = SelfMetrics(store, sentry_project=name)
    metrics.expect_sentry_errors("42", "live")
    assert sentry_errors(store) == {(label, "live", "42"): 0}
    metrics.sentry_error("42", "live")
    assert sentry_errors(store) == {(label, "live", "42"): 1}


@pytest.mark.parametrize(
    ("environ", "file", "name"),
    [
        ({}, None, None),
        ({"SENTRY_PROJECT": " shop "}, None, "shop"),
        ({}, "version: 1\nsentry: {project: from-file}\n", "from-file"),
        ({"SENTRY_PROJECT": "shop"}, "version: 1\nsentry: {project: from-file}\n", "shop"),
        ({"SENTRY_PROJECT": ""}, "version: 1\nsentry: {project: from-file}\n", "from-file"),
    ],
)
def test_the_projects_name_comes_from_the_environment_then_from_the_file(environ, file, name):
    reading = read_service(environ, file)
    assert reading.problems == ()
    assert reading.service.sentry.project == name
