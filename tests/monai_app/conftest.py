"""A session without a server."""

from ..desk import desk_of

__all__ = ["desk_of"]
