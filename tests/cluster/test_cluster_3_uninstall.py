"""What the pages say about leaving: the resources, the chart, and then for good."""

import json
import re

import pytest
from cluster import until
from cluster_kit import SYSTEM, Site, page

pytestmark = pytest.mark.timeout(600, func_only=True)
KEPT = {"umiak-hub", "umiak-signer", "umiak-keys", "umiak-ca"}


def left(site: Site) -> set[str]:
    """Names of what is still there of an installation, claims and Secrets among it."""
    kinds = "deployments,statefulsets,daemonsets,pods,jobs,services,configmaps,secrets,persistentvolumeclaims"
    names = {item["metadata"]["name"] for item in site.items(kinds, SYSTEM)}
    return {name for name in names if name != "kube-root-ca.crt"}


def test_uninstall_keeps_what_cannot_be_made_again(site: Site) -> None:
    site.shell("kubectl apply -f docs/examples/01-minimal/")
    for block in page("install-kubernetes.md")["Uninstall"]:
        site.shell(block, 300)
    until(lambda: left(site) == KEPT, 120, "left: ", lambda: str(left(site)))
    assert json.loads(site.shell("kubectl get crd -o json"))["items"], "definitions stay, and with them resources"


def test_for_good_leaves_nothing(site: Site) -> None:
    """A second installation finds the claims and keys again; then every one of the page's commands."""
    install = next(
        line for line in page("install-kubernetes.md")["2. Install"][0].splitlines() if "helm install" in line
    )
    install = install.replace("$ADDRESS", "192.0.2.10").replace("--set image.registry=$REGISTRY ", "")
    site.shell(install, 420)
    _, block = page("helm.md")["Uninstall"]
    edges = site.shell("kubectl get nodes -l node-role.kubernetes.io/edge -o name").split()
    assert edges
    site.shell(re.sub(r"\bNODE\b", edges[0].removeprefix("node/"), block), 420)
    assert "umiak" not in site.shell("kubectl get namespaces,crd,clusterroles,clusterrolebindings -o name")
    assert f"node/{edges[0]}" not in site.shell("kubectl get nodes -l node-role.kubernetes.io/edge -o name")
