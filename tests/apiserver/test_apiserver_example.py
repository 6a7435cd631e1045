"""The first example, as a person applies it."""

import pytest
from apiserver_kit import ROOT, Kube, Operator, eventually, path

EXAMPLE = ROOT / "docs" / "examples" / "01-minimal"


@pytest.fixture
def applied(kube: Kube) -> None:
    """kubectl apply -f docs/examples/01-minimal/"""
    kube.run("apply", "-f", f"{EXAMPLE}/")


@pytest.mark.usefixtures("applied")
def test_the_minimal_example_becomes_ready(kube: Kube, operator: Operator) -> None:
    done = kube.run("wait", "-n", "yard", "--for=condition=Ready", "jointinference", "--all", "--timeout=60s")
    assert "condition met" in done.stdout
    kube.run("wait", "-n", "yard", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    text = kube.run("get", "umiak", "-n", "yard").stdout
    assert "True" in text
    assert "Available" in text
    kube.run("delete", "-f", f"{EXAMPLE}/", "--wait=false")
    eventually(lambda: kube.names(path("deployments", "yard")) == [], 60, "nothing left")
