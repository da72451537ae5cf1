"""Files from others, judged by their headers before any parser opens them; light to import."""

from scaling_app.imaging.untrusted.gate import judge
from scaling_app.imaging.untrusted.header import READ_ERRORS, Header, ImageError, open_regular
from scaling_app.imaging.untrusted.unpacking import read_through

__all__ = ["READ_ERRORS", "Header", "ImageError", "judge", "open_regular", "read_through"]
