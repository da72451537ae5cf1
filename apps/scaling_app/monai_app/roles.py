"""Who may ask: the roles of MONAI Label's login, as parameters of handlers."""

from typing import Annotated

from fastapi import Depends
from monailabel.config import settings
from monailabel.endpoints.user.auth import RBAC, User

USER = RBAC(settings.MONAI_LABEL_AUTH_ROLE_USER)
ANNOTATOR = RBAC(settings.MONAI_LABEL_AUTH_ROLE_ANNOTATOR)
ADMIN = RBAC(settings.MONAI_LABEL_AUTH_ROLE_ADMIN)

AnyUser = Annotated[User, Depends(USER)]
Annotator = Annotated[User, Depends(ANNOTATOR)]
Admin = Annotated[User, Depends(ADMIN)]


def annotator_of(user: User) -> str | None:
    """The name of who is logged in; None where nobody has to, and only viewers have names."""
    return user.username if settings.MONAI_LABEL_AUTH_ENABLE else None
