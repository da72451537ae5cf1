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
