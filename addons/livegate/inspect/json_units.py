"""Types of values in JSON bodies, with their units."""

from typing import Annotated

from msgspec import Meta, Struct

type Count = Annotated[int, Meta(ge=0)]
type Bytes = Annotated[int, Meta(ge=0, description="Bytes.")]
type Timestamp = Annotated[float, Meta(ge=0, description="Seconds since 1970.")]
type Seconds = Annotated[float, Meta(ge=0, description="Seconds.")]
type Milliseconds = Annotated[float, Meta(ge=0, description="Milliseconds.")]

type Side = Annotated[str, Meta(extra_json_schema={"enum": ["client", "backend", "gateway", ""]})]


class Body(Struct, forbid_unknown_fields=True):
    """JSON object of the admin API. Docstrings of classes and fields are the descriptions in openapi.json."""


def copied[B: Body](body: type[B], source: object, **more: object) -> B:
    """Make a body from the attributes of an object, except for the fields that are given."""
    return body(**{name: getattr(source, name) for name in body.__struct_fields__ if name not in more}, **more)


def milliseconds(seconds: float | None) -> float | None:
    """Convert seconds to milliseconds."""
    return None if seconds is None else round(seconds * 1000, 3)
