"""Who may do what at the hub, in one table. What is not in the table is forbidden.

A role is bound to parts of its own principal: where a path names a namespace, resource or edge, a bound part must be
the caller's own. The name comes from the proven token alone, never from the path or a body.
"""

from collections.abc import Mapping

from umiak_workers.contract import routes
from umiak_workers.contract.errors import Refused
from umiak_workers.contract.identity import Principal

READERS = ("operator", "edge", "agent", "router", "cloud", "trainer", "signer", "viewer")
ALLOWED: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("GET", routes.BLOB): READERS,
    ("HEAD", routes.BLOB): READERS,
    ("PUT", routes.BLOB): ("operator", "trainer"),
    ("GET", routes.MODEL): READERS,
    ("PUT", routes.MODEL): ("operator", "trainer"),
    ("GET", routes.LINE): READERS,
    ("GET", routes.SIGNING): ("signer", "operator", "viewer"),
    ("PUT", routes.SIGNED): ("signer",),
    ("PUT", routes.SAMPLE): ("cloud",),
    ("GET", routes.RECEIPT): ("operator", "agent", "router", "cloud", "viewer"),
    ("GET", routes.SAMPLES): ("operator", "trainer", "viewer"),
    ("GET", routes.SAMPLE_BYTES): ("operator", "trainer"),
    ("PUT", routes.AGENT_STATE): ("agent",),
    ("PUT", routes.ROUTER_STATE): ("router",),
    ("GET", routes.SETTINGS): ("operator", "agent", "router", "viewer"),
    ("PUT", routes.ROUND): ("trainer",),
    ("GET", routes.OWNERS): ("operator", "viewer"),
    ("PUT", routes.OWNER): ("operator",),
    ("GET", routes.OWNER): ("operator", "viewer"),
    ("DELETE", routes.OWNER): ("operator",),
    ("GET", routes.CHANGES): ("operator", "viewer"),
}
BOUND: Mapping[str, tuple[str, ...]] = {
    "operator": (),
    "signer": (),
    "viewer": ("namespace",),
    "trainer": ("namespace",),
    "cloud": ("namespace", "resource"),
    "edge": ("namespace", "resource", "edge"),
    "agent": ("namespace", "resource", "edge"),
    "router": ("namespace", "resource", "edge"),
}
NARROWER: Mapping[tuple[str, str], tuple[str, ...]] = {("PUT", routes.ROUND): ("namespace", "resource")}
"""Routes on which every role is bound to more of itself."""
OF_ALL = frozenset((routes.OWNERS, routes.OWNER, routes.CHANGES, routes.SIGNING))
"""Routes that show every namespace: not for a viewer of one."""
EVERYWHERE = "-"


def check(who: Principal, method: str, route: str, named: Mapping[str, str]) -> None:
    """Raise Refused 403 unless the table allows it; `named` are the parts of the path."""
    if who.role not in ALLOWED.get((method, route), ()):
        raise Refused(f"{who} may not {method} {route}", 403)
    if who.role == "viewer" and who.namespace == EVERYWHERE:
        return
    if who.role == "viewer" and route in OF_ALL:
        raise Refused(f"{who} sees one namespace, {route} is of all", 403)
    for part in NARROWER.get((method, route), BOUND[who.role]):
        if part in named and named[part] != getattr(who, part):
            raise Refused(f"{who} may not {method} {route} of {part} {named[part]}", 403)
