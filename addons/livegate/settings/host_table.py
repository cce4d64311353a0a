"""Finds the service for a host; asked for every request."""

from collections.abc import Iterable

from livegate.settings.addresses import DEFAULT
from livegate.settings.model import Service


class Routes:
    """The services by name: exact ones, wildcards, and the default."""

    __slots__ = ("_default", "_exact", "_wildcards")

    def __init__(self, services: Iterable[Service]) -> None:
        by_name = {service.name: service for service in services}
        self._default = by_name.pop(DEFAULT, None)
        self._wildcards = {name[2:]: service for name, service in by_name.items() if name.startswith("*.")}
        self._exact = {name: service for name, service in by_name.items() if not name.startswith("*.")}

    def match(self, host: str) -> Service | None:
        """The service for a host name without port: exact, then the longest wildcard, then the default, else None.

        Case and one trailing dot do not matter. `*.example.com` matches any depth below example.com, never
        example.com itself. The time is linear in the number of labels.
        """
        name = host.lower().removesuffix(".")
        exact = self._exact.get(name)
        if exact is not None:
            return exact
        rest = name
        while self._wildcards and (dot := rest.find(".")) >= 0:
            label, rest = rest[:dot], rest[dot + 1 :]
            if label and (wildcard := self._wildcards.get(rest)) is not None:
                return wildcard
        return self._default
