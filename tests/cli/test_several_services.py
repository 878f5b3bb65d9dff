"""`slotel generate` with the files of several services: a folder for each, one collector policy for all of them."""

import pytest
from ruamel.yaml import YAML

from support.commands import slotel

CHECKOUT = (
    "version: 1\nservice: checkout\ntags:\n  redact: [iban]\n  required:\n    team: {default: payments}\n"
)
CART = "version: 1\nservice: shop/cart\ntags:\n  set: {region: eu}\nslos:\n  - name: availability\n    objective: 99%\n"


def generate(folder, *arguments, **environ):
    return slotel("generate", *arguments, cwd=folder, **environ)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "checkout.yaml").write_text(CHECKOUT)
    (tmp_path / "cart.yaml").write_text(CART)
    return tmp_path


def test_each_service_has_its_folder_and_all_have_one_policy(folder):
    done = generate(folder, "checkout.yaml", "cart.yaml", "--out", "out", OTEL_SERVICE_NAME="other")
    assert done.returncode == 0, done.stderr
    assert (folder / "out/checkout/prometheus/rules.yaml").exists()
    assert "shop/cart" in (folder / "out/shop-cart/prometheus/rules.yaml").read_text()
    assert [path.relative_to(folder / "out").as_posix() for path in folder.rglob("policy.yaml")] == [
        "collector/policy.yaml"
    ]
    text = (folder / "out/collector/policy.yaml").read_text()
    assert "iban" in text
    processor = YAML(typ="safe").load(text)["processors"]["transform/policy"]
    conditions = [
        condition for group in processor["trace_statements"] for condition in group.get("conditions", [])
    ]
    for name in ("checkout", "shop/cart"):
        assert f'resource.attributes["service.name"] == "{name}"' in conditions
    again = generate(folder, "checkout.yaml", "cart.yaml", "--out", "out", "--check")
    assert again.returncode == 0, again.stderr


def test_one_file_is_written_as_with_the_option(folder):
    assert generate(folder, "checkout.yaml", "--out", "one").returncode == 0
    assert generate(folder, "--config", "checkout.yaml", "--out", "two").returncode == 0
    written = [
        sorted(p.relative_to(folder / name) for p in (folder / name).rglob("*")) for name in ("one", "two")
    ]
    assert written[0] == written[1]


def test_two_services_that_would_share_a_folder_are_refused_and_nothing_is_written(folder):
    (folder / "second.yaml").write_text(CART.replace("shop/cart", "shop-cart"))
    done = generate(folder, "cart.yaml", "second.yaml", "--out", "out")
    assert done.returncode == 1
    assert "would share the folder 'shop-cart'" in done.stderr
    assert not (folder / "out").exists()


def test_a_directory_may_be_read_again_after_files_were_written_into_it(tmp_path):
    """`grafana/provisioning` has files that are called slotel.yaml, too."""
    (tmp_path / "slotel.yaml").write_text("service: shop\nslos: [{name: a, objective: 99%}]\n")
    for _ in range(2):
        done = generate(tmp_path, ".", "--out", "monitoring")
        assert done.returncode == 0, done.stderr


def test_a_file_that_is_named_twice_is_read_once_and_two_of_one_service_are_refused(tmp_path):
    for name in ("slotel.yaml", "other.yaml"):
        (tmp_path / name).write_text("service: shop\nslos: [{name: a, objective: 99%}]\n")
    twice = slotel("validate", "slotel.yaml", "./slotel.yaml", cwd=tmp_path)
    assert twice.returncode == 0, twice.stderr
    two = slotel("validate", "slotel.yaml", "other.yaml", cwd=tmp_path)
    assert (two.returncode, "service 'shop': two files describe it" in two.stderr) == (1, True)
