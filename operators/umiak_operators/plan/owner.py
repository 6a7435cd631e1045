"""The resource as the hub knows it."""

from umiak_operators.api.resource import Resource
from umiak_workers.contract.fleet import Owner


def owner_of(resource: Resource) -> Owner:
    """Kind, namespace, name and uid."""
    key = resource.key
    return Owner(kind=key.kind, namespace=key.namespace, name=key.name, uid=resource.uid)
