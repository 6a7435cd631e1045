"""Who may do what: every route for every role, forged tokens, other people's names, and bodies that are too large."""

import asyncio
import time
from functools import partial
from pathlib import Path

import pytest
from hub_kit import NOBODY, OPERATOR_KEY, HubKit, hub_config, token_of
from hypothesis import given
from hypothesis import strategies as st

from umiak_workers.adapters.auth import Gate
from umiak_workers.contract import routes
from umiak_workers.contract.errors import IdentityError, Refused
from umiak_workers.contract.identity import ROLES, Principal, token, verify
from umiak_workers.hub import access
from umiak_workers.hub.app import build
from umiak_workers.hub.hub import Hub

PARTS = {
    "namespace": "plant",
    "name": "yard",
    "resource": "watch",
    "edge": "edge-1",
    "source": "cam",
    "sequence": "1",
    "digest": NOBODY,
    "position": "1",
    "part": "image",
    "round": "night-1",
    "uid": "uid",
}
HOMES = {
    "operator": "-/-/-/operator",
    "signer": "-/-/-/signer",
    "viewer": "-/-/-/viewer",
    "hub": "-/-/-/hub",
    "cloud": "plant/watch/-/cloud",
    "trainer": "plant/watch/-/trainer",
}
WITHOUT_TOKEN = {routes.HEALTH_LIVE, routes.HEALTH_READY, routes.METRICS, "/"}


def home(role: str) -> str:
    return HOMES.get(role, f"plant/watch/edge-1/{role}")


def path_of(route: str) -> str:
    return route.format(**PARTS)


@pytest.mark.processes
@pytest.mark.parametrize("role", sorted(ROLES))
def test_each_role_passes_exactly_where_the_table_says(hub: HubKit, role: str) -> None:
    http = hub.http(home(role))
    for (method, route), roles in access.ALLOWED.items():
        status = http.request(method, path_of(route)).status_code
        assert status != 401, (method, route)
        assert (status != 403) == (role in roles), (method, route, status)


@pytest.mark.processes
def test_without_or_with_a_forged_token_nothing_is_open(hub: HubKit) -> None:
    who = Principal.parse("-/-/-/operator")
    forged = [
        None,
        "x",
        "x.y",
        token(bytes(32), who),
        token_of("viewer").split(".")[0] + "." + token_of("operator")[-64:],
    ]
    for text in forged:
        http = hub.http(None) if text is None else hub.http(text=text)
        for method, route in access.ALLOWED:
            answer = http.request(method, path_of(route))
            assert answer.status_code == 401, (text, method, route)
            assert method == "HEAD" or answer.json()["error"]


@pytest.mark.processes
def test_every_route_of_the_app_is_in_the_table_or_open_on_purpose(hub: HubKit) -> None:
    app = build(Hub(hub_config(), hub.state, time.time), Gate(partial(verify, OPERATOR_KEY)), asyncio.Event())
    served = {
        (method, route.path)
        for route in app.routes
        for method in getattr(route, "methods", None) or ()
        if route.path not in WITHOUT_TOKEN
    }
    assert served == set(access.ALLOWED)


names = st.sampled_from(("plant", "quay", "watch", "edge-1", "edge-2"))


@given(st.sampled_from(sorted(ROLES)), names, names, names, st.sampled_from(sorted(access.ALLOWED)), st.data())
def test_nobody_gets_past_its_own_names(
    role: str, namespace: str, resource: str, edge: str, rule: tuple[str, str], data: st.DataObject
) -> None:
    method, route = rule
    named = {part: data.draw(names) for part in ("namespace", "resource", "edge") if f"{{{part}}}" in route}
    who = Principal(namespace, resource, edge, role)
    try:
        access.check(who, method, route, named)
    except Refused:
        return
    assert role in access.ALLOWED[rule]
    for part in access.BOUND[role]:
        assert named.get(part, getattr(who, part)) == getattr(who, part)


def test_what_is_not_in_the_table_is_forbidden() -> None:
    with pytest.raises(Refused):
        access.check(Principal.parse("-/-/-/operator"), "POST", "/v1/anything", {})


def test_a_viewer_of_one_namespace_sees_no_other() -> None:
    viewer = Principal.parse("plant/-/-/viewer")
    access.check(viewer, "GET", routes.LINE, {"namespace": "plant", "name": "yard"})
    for route, named in (
        (routes.LINE, {"namespace": "quay", "name": "yard"}),
        (routes.OWNERS, {}),
        (routes.OWNER, {"uid": "u"}),
        (routes.CHANGES, {}),
    ):
        with pytest.raises(Refused):
            access.check(viewer, "GET", route, named)


@pytest.mark.processes
def test_another_edges_report_and_another_resources_sample_are_forbidden(hub: HubKit) -> None:
    hub.replay_of_one()
    other = hub.client(f"{hub.namespace}/watch/edge-2/agent")
    with pytest.raises(IdentityError, match="403"):
        other.put_agent_state(hub.namespace, "watch", "edge-1", hub.agent_state(None))
    path = routes.SAMPLE.format(namespace=hub.namespace, resource="watch", edge="edge-1", source="cam", sequence=1)
    assert hub.http(f"{hub.namespace}/other/-/cloud").put(path, content=b"x").status_code == 403
    assert hub.http(f"{hub.namespace}x/watch/-/cloud").put(path, content=b"x").status_code == 403


@pytest.mark.processes
@pytest.mark.parametrize(
    ("who", "route"),
    [
        ("operator", routes.OWNER),
        ("operator", routes.MODEL),
        ("signer", routes.SIGNED),
        ("agent", routes.AGENT_STATE),
        ("router", routes.ROUTER_STATE),
        ("trainer", routes.ROUND),
    ],
)
def test_a_body_without_end_is_cut_off(hub: HubKit, who: str, route: str) -> None:
    hub.replay_of_one()
    parts = {**PARTS, "namespace": hub.namespace, "resource": "night" if who == "trainer" else "watch"}
    path = route.format(**parts)
    assert hub.http(who).put(path, content=bytes(5 << 20)).status_code == 413
    endless = (bytes(1 << 20) for _ in range(64))
    assert hub.http(who).put(path, content=endless).status_code == 413


@pytest.mark.processes
@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/v1/blobs/md5:00", "digest"),
        ("/v1/blobs/sha256:" + "A" * 64, "digest"),
        ("/v1/lines/Plant/yard", "namespace"),
        ("/v1/replay/plant/watch/samples?after=-1", "after"),
        ("/v1/replay/plant/watch/samples?limit=100000", "limit"),
        ("/v1/changes?after=x", "after"),
        ("/v1/nothing", "/v1/nothing"),
    ],
)
def test_a_wrong_path_is_4xx_that_names_it(hub: HubKit, path: str, says: str) -> None:
    answer = hub.http().get(path)
    assert answer.status_code in (404, 422)
    assert says in answer.json()["error"]


@pytest.mark.processes
def test_health_and_figures_need_no_token(hub: HubKit) -> None:
    http = hub.http(None)
    assert http.get(routes.HEALTH_LIVE).status_code == 200
    assert http.get(routes.HEALTH_READY).json()["ready"] is True
    text = http.get(routes.METRICS).text
    for name in ("umiak_hub_replay_samples", "umiak_hub_state_bytes", "umiak_hub_edges_reporting", "umiak_hub_models"):
        assert f"\n{name} " in text


def test_the_reference_names_every_route_with_its_roles() -> None:
    lines = (Path(__file__).parents[3] / "docs" / "reference" / "hub-api.md").read_text().splitlines()
    for (method, route), roles in access.ALLOWED.items():
        said = "every role" if roles == access.READERS else ", ".join(roles)
        assert any(line.startswith(f"| `{method} {route}` | {said} |") for line in lines), (method, route)
