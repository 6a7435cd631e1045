"""What an installation holds beside the operator: hub and signer, in the same shape as everything else.

A local world starts them as processes and a chart installs them as pods from this one source. The broker is not ours
to build: it is known by its address, and by the principals that our Secrets hold tokens for.
"""

from typing import Final

from umiak_operators.plan import addresses, names, objects
from umiak_operators.plan.cloud import keep_off_edges
from umiak_operators.plan.model import Platform
from umiak_operators.plan.objects import Obj
from umiak_operators.plan.pods import Brought, Part, Pod, needs
from umiak_workers.contract.config import OPERATOR_KEY_FILE, SIGNING_KEY_FILE, HubConfig, SignerConfig
from umiak_workers.contract.identity import Principal

NAMESPACE: Final = "umiak-system"
HUB_SIZE: Final = "20Gi"
"""Room for blobs, samples and the database."""
SIGNER_SIZE: Final = "64Mi"
"""Room for the book of what was signed."""
_HUB_NEEDS: Final = needs("100m", "256Mi", "1Gi")
_SIGNER_NEEDS: Final = needs("10m", "64Mi", "256Mi")
_INSTALLATION: Final = {"app.kubernetes.io/instance": "umiak"}


def platform_objects(platform: Platform, signing_key: bytes, namespace: str = NAMESPACE) -> tuple[Obj, ...]:
    """Secrets, Deployments, Service and claims of hub and signer. `signing_key`: Ed25519 private key, PEM (PKCS#8)."""
    return (*_hub(platform, namespace), *_signer(platform, signing_key, namespace))


def _hub(platform: Platform, namespace: str) -> list[Obj]:
    own = objects.labels(_INSTALLATION, "hub")
    metadata = objects.meta(names.HUB, namespace, own)
    database = platform.hub_database
    file = f"{names.DATABASE_FOLDER}/{database.key}" if database else None
    config = HubConfig(trusted_keys=platform.trusted_keys, database_file=file)
    part = Part(
        role="hub",
        image=platform.images["hub"],
        config=config,
        principal=Principal("-", "-", "-", "hub"),
        resources=_HUB_NEEDS,
        port=names.PORTS["hub"],
        keys={OPERATOR_KEY_FILE: platform.operator_key.hex().encode()},
        brought=(Brought("database", database.secret, names.DATABASE_FOLDER),) if database else (),
        settled=config.model_dump(mode="json", exclude={"trusted_keys"}),  # no chart knows them before they are made
    )
    state = {"persistentVolumeClaim": {"claimName": names.HUB}}
    pod = Pod(names.HUB, own, (part,), addresses.of_hub(platform), state)
    return [
        *pod.secrets(namespace, platform.operator_key),
        objects.claim(metadata, HUB_SIZE, platform.storage_class),
        objects.deployment(metadata, own, _template(pod), replicas=1, strategy=objects.RECREATE),
        objects.service(metadata, own, names.PORTS["hub"]),
    ]


def _signer(platform: Platform, signing_key: bytes, namespace: str) -> list[Obj]:
    own = objects.labels(_INSTALLATION, "signer")
    metadata = objects.meta(names.SIGNER, namespace, own)
    part = Part(
        role="signer",
        image=platform.images["signer"],
        config=SignerConfig(),
        principal=Principal("-", "-", "-", "signer"),
        resources=_SIGNER_NEEDS,
        probed=False,
        keys={SIGNING_KEY_FILE: signing_key},
    )
    state = {"persistentVolumeClaim": {"claimName": names.SIGNER}}  # the last sequence it signed of every line
    pod = Pod(names.SIGNER, own, (part,), addresses.of_signer(platform), state)
    return [
        *pod.secrets(namespace, platform.operator_key),
        objects.claim(metadata, SIGNER_SIZE, platform.storage_class),
        objects.deployment(metadata, own, _template(pod), replicas=1, strategy=objects.RECREATE),
    ]


def _template(pod: Pod) -> Obj:
    template = pod.template()
    keep_off_edges(template["spec"])
    return template
