"""What a session asks of whoever keeps images and labels: MONAI Label's datastores answer to it."""

from __future__ import annotations

from typing import Any, Protocol


class DatastoreSilentError(OSError):
    """Whoever keeps images and labels gave no usable answer; the sentence is for people.

    Attributes:
        outcome: what became of that which was asked for, as a sentence.
    """

    outcome = "Nothing was changed."


class Datastore(Protocol):
    """Images and labels by id; a label also has a tag, `final` once a person has saved it."""

    def name(self) -> str:
        """The folder, or the address of a server."""

    def list_images(self) -> list[str]:
        """The ids of all images."""

    def get_labeled_images(self) -> list[str]:
        """The ids of those with a final label."""

    def get_unlabeled_images(self) -> list[str]:
        """The ids of those without one."""

    def unfit(self, image_id: str) -> str | None:
        """Why no model could use an image that is not at hand, as far as that is known."""

    def datalist(self) -> list[dict[str, Any]]:
        """The files `image` and `label` of each final label."""

    def get_image_uri(self, image_id: str) -> str:
        """The image's file, or an empty text."""

    def image_at_hand(self, image_id: str) -> str:
        """The image's file where nothing has to be fetched for it, or an empty text."""

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        """What was noted about an image."""

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        """The ids of an image's labels by their tag."""

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        """The label's file, or an empty text."""

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """What was noted about a label."""

    def save_label(
        self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]
    ) -> str:
        """Stores a label; its id."""
