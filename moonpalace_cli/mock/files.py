"""The files that clients upload to the mock, kept in memory."""

import hashlib
from dataclasses import dataclass

from moonpalace_cli.mock.chat_request import Json
from moonpalace_cli.mock.completions import Fields
from moonpalace_cli.mock.failures import RejectedError, not_found

MAX_FILES = 100  # the oldest give way
CREATED = 1_760_000_000  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as uploaded by a client."""

    name: str
    purpose: str
    content: bytes

    @property
    def file_id(self) -> str:
        """Return the id; the same content under the same name always gets the same id."""
        return "file-" + hashlib.sha256(self.name.encode() + b"\0" + self.content).hexdigest()[:24]


class Files:
    """Store uploaded files, at most `MAX_FILES`."""

    def __init__(self) -> None:
        self._kept: dict[str, Upload] = {}

    def add(self, upload: Upload) -> Fields:
        """Store a file and return its description."""
        self._kept[upload.file_id] = upload
        if len(self._kept) > MAX_FILES:
            del self._kept[next(iter(self._kept))]
        return _description(upload)

    def all(self) -> list[Json]:
        """Return the descriptions of all files, the oldest first."""
        return [_description(upload) for upload in self._kept.values()]

    def describe(self, file_id: str) -> Fields:
        """Return the description of a file, or raise `RejectedError` with status 404."""
        return _description(self._find(file_id))

    def content(self, file_id: str) -> bytes:
        """Return the bytes of a file, or raise `RejectedError` with status 404."""
        return self._find(file_id).content

    def remove(self, file_id: str) -> Fields:
        """Delete a file, or raise `RejectedError` with status 404."""
        self._find(file_id)
        del self._kept[file_id]
        return {"id": file_id, "object": "file", "deleted": True}

    def _find(self, file_id: str) -> Upload:
        file = self._kept.get(file_id)
        if file is None:
            raise RejectedError(not_found(f"file {file_id} not found"))
        return file


def _description(upload: Upload) -> Fields:
    return {
        "id": upload.file_id,
        "object": "file",
        "bytes": len(upload.content),
        "created_at": CREATED,
        "filename": upload.name,
        "purpose": upload.purpose,
        "status": "ok",
        "status_details": "",
    }
