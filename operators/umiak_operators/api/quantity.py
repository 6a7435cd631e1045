"""CPU and memory as Kubernetes writes them; the only way in which a resource may size a pod."""

from decimal import Decimal
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, model_validator

from umiak_operators.api.spec import QUANTITY_PATTERN, Spec, error_below

_UNITS: Final = {
    "m": Decimal("0.001"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
}


def _text(value: object) -> object:
    """`cpu: 1` without quotes is a number in YAML."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[str, Field(pattern=QUANTITY_PATTERN), BeforeValidator(_text)]


def amount(quantity: Quantity) -> Decimal:
    """Cores or bytes that a valid quantity means."""
    digits = quantity.rstrip("".join(_UNITS))
    return Decimal(digits) * _UNITS[quantity[len(digits) :]]


class Amounts(Spec):
    """An amount of each; what is absent keeps the operator's default."""

    cpu: Quantity | None = None
    memory: Quantity | None = None


class Resources(Spec):
    """Requests and limits of a container."""

    requests: Amounts = Amounts()
    limits: Amounts = Amounts()

    @model_validator(mode="after")
    def _within_limits(self) -> "Resources":
        self._check("cpu", self.requests.cpu, self.limits.cpu)
        self._check("memory", self.requests.memory, self.limits.memory)
        return self

    @staticmethod
    def _check(name: str, request: str | None, limit: str | None) -> None:
        """An API server would refuse the pod, long after it took the resource."""
        if request is not None and limit is not None and amount(request) > amount(limit):
            raise error_below(("requests", name), f"{request} is more than the limit {limit}")
