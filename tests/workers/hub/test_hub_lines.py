"""Lines: the initial model comes by itself, the head moves only by a trusted signature, one release at a time."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hub_kit import NOBODY, SIGNING_KEY, STRANGER, TRUSTED, HubKit, eventually

from umiak_workers.adapters.artefacts import builtin_folder, read_artefact
from umiak_workers.contract.errors import Refused
from umiak_workers.core.release import sign, verify

pytestmark = pytest.mark.processes
Models = Callable[[int], tuple[Path, str]]


def started(hub: HubKit, models: Models, pushed: int) -> list[str]:
    """Digests of 1 + `pushed` models: the first is the head, the others are at the hub."""
    made = [models(seed) for seed in range(1 + pushed)]
    hub.with_head(hub.joint_inference(made[0][0].as_uri(), made[0][1]))
    for folder, _ in made[1:]:
        hub.client("operator").push_model(folder)
    return [digest for _, digest in made]


def test_the_initial_model_is_fetched_signed_and_served(hub: HubKit, models: Models, tmp_path: Path) -> None:
    folder, digest = models(0)
    assert hub.client("agent").head(hub.line) is None
    line = hub.with_head(hub.joint_inference(folder.as_uri(), digest))
    assert (line.digest, line.sequence, line.conflict) == (digest, 1, "")
    envelope = hub.client("agent").head(hub.line)
    assert envelope is not None
    release = verify(envelope, TRUSTED)
    assert (release.line, release.from_digest, release.to_digest, release.owner) == (hub.line, None, digest, "")
    fetched = hub.client("agent").fetch_model(digest, tmp_path / "got", 10_000_000)
    assert {file.name: file.read_bytes() for file in fetched.iterdir()} == {
        file.name: file.read_bytes() for file in folder.iterdir()
    }


def test_a_built_in_model_needs_no_network(hub: HubKit) -> None:
    digest = read_artefact(builtin_folder("yard-edge")).digest
    assert hub.with_head(hub.joint_inference("builtin:yard-edge", digest)).digest == digest


def test_a_patch_moves_the_head_once_its_model_is_there(hub: HubKit, models: Models) -> None:
    (old, first), (new, second) = models(0), models(50)
    ji, patch = hub.joint_inference(old.as_uri(), first), hub.patch(first, second)
    hub.with_head(ji)
    hub.put(patch)
    waits = hub.release(patch)
    assert (waits.state, waits.sequence) == ("WaitingForModel", None)
    assert second in waits.message
    assert hub.client("trainer").push_model(new) == second
    assert hub.release(patch).state == "WaitingForSignature"
    assert [release.sequence for release in hub.sign_all()] == [2]
    done = hub.release(patch)
    assert (done.state, done.sequence) == ("Published", 2)
    assert (hub.head(patch).digest, hub.head(patch).sequence) == (second, 2)
    assert [edge.edge for edge in hub.view(patch).edges] == ["edge-1", "edge-2"]
    hub.drop(patch)
    assert hub.head(ji).digest == second


def test_of_two_patches_from_one_head_one_is_superseded(hub: HubKit, models: Models) -> None:
    first, to_a, to_b = started(hub, models, 2)
    one, two = hub.patch(first, to_a, "a"), hub.patch(first, to_b, "b")
    hub.put(one)
    hub.put(two)
    assert (hub.release(one).state, hub.release(two).state) == ("WaitingForSignature", "WaitingForLine")
    hub.sign_all()
    assert (hub.release(one).state, hub.release(two).state) == ("Published", "Superseded")
    assert hub.head(two).digest == to_a


def test_a_patch_from_what_was_never_the_head_is_a_conflict(hub: HubKit, models: Models) -> None:
    (first,) = started(hub, models, 0)
    patch = hub.patch("sha256:" + "f" * 64, NOBODY)
    hub.put(patch)
    assert hub.release(patch).state == "Conflict"
    assert first in hub.release(patch).message


def test_patches_in_a_row_wait_for_each_other(hub: HubKit, models: Models) -> None:
    first, second, third = started(hub, models, 2)
    one, two = hub.patch(first, second, "a"), hub.patch(second, third, "b")
    hub.put(one)
    hub.put(two)
    assert hub.release(two).state == "WaitingForLine"
    assert [release.sequence for release in hub.sign_all()] == [2, 3]
    assert hub.head(two).digest == third


def test_going_back_is_a_release_like_any_other(hub: HubKit, models: Models) -> None:
    first, second = started(hub, models, 1)
    hub.put(hub.patch(first, second, "there"))
    hub.sign_all()
    back = hub.patch(second, first, "back")
    hub.put(back)
    assert [release.sequence for release in hub.sign_all()] == [3]
    assert hub.head(back).digest == first


def test_a_withdrawn_release_never_gives_its_number_away(hub: HubKit, models: Models) -> None:
    first, second, third = started(hub, models, 2)
    bad, good = hub.patch(first, second, "bad"), hub.patch(first, third, "good")
    hub.put(bad)
    (withdrawn,) = hub.waiting()
    hub.drop(bad)
    assert hub.waiting() == ()
    with pytest.raises(Refused) as refused:
        hub.client("signer").put_signed(withdrawn, sign(withdrawn, SIGNING_KEY))
    assert refused.value.status == 404
    hub.put(good)
    assert [release.sequence for release in hub.sign_all()] == [3]


def test_only_the_trusted_key_over_the_very_release_moves_the_head(hub: HubKit, models: Models) -> None:
    folder, digest = models(0)
    hub.put(hub.joint_inference(folder.as_uri(), digest))
    (release,) = eventually(hub.waiting)
    signer = hub.client("signer")
    altered = release.model_copy(update={"to_digest": NOBODY})
    good = sign(release, SIGNING_KEY)
    for envelope in (
        sign(release, STRANGER),
        good.model_copy(update={"signatures": ()}),
        good.model_copy(update={"payload_type": "text/plain"}),
        sign(altered, SIGNING_KEY),
    ):
        with pytest.raises(Refused) as refused:
            signer.put_signed(release, envelope)
        assert refused.value.status == 409
        assert hub.client("agent").head(hub.line) is None
    signer.put_signed(release, good)
    signer.put_signed(release, good)
    assert hub.client("agent").head(hub.line) == good


def test_two_resources_with_different_initial_models_conflict(hub: HubKit, models: Models) -> None:
    (a, to_a), (b, to_b) = models(0), models(1)
    first, second = hub.joint_inference(a.as_uri(), to_a), hub.joint_inference(b.as_uri(), to_b, name="other")
    hub.with_head(first)
    hub.put(second)
    assert "watch" in hub.head(second).conflict
    assert hub.head(second).digest == to_a
    assert hub.head(first).conflict == ""
    hub.drop(first)
    assert hub.head(second).conflict == ""


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("builtin:nothing", "no built-in model"),
        ("file:///nowhere/at/all", "nowhere"),
        ("ftp://example.org/m", "builtin:, file:, https: or s3:"),
        ("http://example.org/m", "builtin:, file:, https: or s3:"),
    ],
)
def test_a_model_that_cannot_be_had_says_why(hub: HubKit, uri: str, says: str) -> None:
    spec = hub.joint_inference(uri, NOBODY)
    hub.put(spec)
    assert says in eventually(lambda: hub.head(spec).conflict)
    assert hub.head(spec).digest is None


def test_a_model_with_another_digest_is_not_taken_until_the_spec_is_right(hub: HubKit, models: Models) -> None:
    folder, digest = models(0)
    wrong = hub.joint_inference(folder.as_uri(), NOBODY)
    hub.put(wrong)
    assert digest in eventually(lambda: hub.head(wrong).conflict)
    right = hub.with_head(hub.joint_inference(folder.as_uri(), digest))
    assert (right.digest, right.conflict) == (digest, "")


def test_a_resource_that_came_back_keeps_the_learnt_head(hub: HubKit, models: Models) -> None:
    first, second = started(hub, models, 1)
    before = hub.joint_inference(models(0)[0].as_uri(), first)
    hub.put(hub.patch(first, second))
    hub.sign_all()
    again = hub.joint_inference(models(0)[0].as_uri(), first, uid=f"{hub.namespace}.again")
    hub.put(again)
    assert hub.head(again).digest == second
    hub.drop(before)
    assert hub.head(again).digest == second
