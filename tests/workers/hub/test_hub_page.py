"""The status page: open to this machine and to viewers, closed to everyone else, and nobody's text becomes markup."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hub_kit import NOBODY, HubKit, router_state, sample, token_of

from umiak_workers.contract.messages import AgentState, RoundReport

pytestmark = pytest.mark.processes
EVIL = "<script>alert(1)</script>"


def test_it_shows_what_the_hub_holds(hub: HubKit, models: Callable[[int], tuple[Path, str]]) -> None:
    folder, digest = models(0)
    hub.with_head(hub.joint_inference(folder.as_uri(), digest))
    hub.put(hub.learning())
    hub.client("cloud").put_sample(hub.namespace, "watch", *sample("edge-1/cam/1", b"abc"))
    state = hub.agent_state(digest).model_copy(update={"reason": EVIL})
    hub.client("agent").put_agent_state(hub.namespace, "watch", "edge-1", AgentState.model_validate(state.model_dump()))
    hub.client("router").put_router_state(hub.namespace, "watch", "edge-1", router_state(4321))
    report = RoundReport(
        round="night-1",
        outcome="Refused",
        reason="NoGain",
        message=EVIL,
        base=NOBODY,
        watermark=1,
        samples=1,
        finished_at=1.0,
    )
    hub.client("trainer").put_round(hub.namespace, "night", report)
    answer = hub.http(None).get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    for text in (hub.line, digest[7:19], "edge-2", "4321", "1 of 100", "night-1", "NoGain", "http-equiv=refresh"):
        assert text in answer.text, text
    assert EVIL not in answer.text
    assert answer.text.count("&lt;script&gt;") >= 2
    for outside in ("src=", "href=", "url(", "@import", "<script"):
        assert outside not in answer.text, outside


def test_a_name_or_a_proxy_that_could_stand_for_others_is_not_this_machine(hub: HubKit) -> None:
    for headers in ({"Host": "hub.example.org"}, {"X-Forwarded-For": "127.0.0.1"}, {"Via": "1.1 gateway"}):
        answer = hub.http(None).get("/", headers=headers)
        assert answer.status_code == 401
        assert "token" in answer.json()["error"]


def test_a_viewers_token_opens_it_and_becomes_a_cookie(hub: HubKit) -> None:
    outside = {"Host": "hub.example.org"}
    for who, status in (("viewer", 303), ("operator", 303), ("agent", 401), ("plant/-/-/viewer", 401)):
        http = hub.http(None)
        answer = http.get("/", params={"token": token_of(who, hub.namespace)}, headers=outside)
        assert answer.status_code == status, who
        if status == 303:
            assert answer.headers["location"] == "/"
            cookie = answer.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "samesite=strict" in cookie.lower()
            value = cookie.split(";")[0]
            assert http.get("/", headers={**outside, "Cookie": value}).status_code == 200
    assert hub.http(None).get("/", params={"token": "x.y"}, headers=outside).status_code == 401
