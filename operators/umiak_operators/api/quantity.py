"""CPU and memory as Kubernetes writes them; the only way in which a resource may size a pod."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from umiak_operators.api.spec import QUANTITY_PATTERN, Spec


def _text(value: object) -> object:
    """`cpu: 1` without quotes is a number in YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[str, Field(pattern=QUANTITY_PATTERN), BeforeValidator(_text)]


class Amounts(Spec):
    """An amount of each; what is absent keeps the operator's default."""

    cpu: Quantity | None = None
    memory: Quantity | None = None


class Resources(Spec):
    """Requests and limits of a container."""

    requests: Amounts = Amounts()
    limits: Amounts = Amounts()
