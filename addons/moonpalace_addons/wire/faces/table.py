"""The table of faces: which one a call belongs to, by its path or else by the shape of its answer."""

import json
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice

from moonpalace_addons.wire.chat.api_error import ApiError
from moonpalace_addons.wire.chat.text_matcher import OnlyText
from moonpalace_addons.wire.faces.chat_completions import CHAT_COMPLETIONS
from moonpalace_addons.wire.faces.completions import COMPLETIONS
from moonpalace_addons.wire.faces.embeddings import EMBEDDINGS
from moonpalace_addons.wire.faces.face import Face
from moonpalace_addons.wire.faces.messages import MESSAGES
from moonpalace_addons.wire.faces.responses import RESPONSES
from moonpalace_addons.wire.json_value import mapping

FACES: tuple[Face, ...] = (MESSAGES, RESPONSES, EMBEDDINGS, COMPLETIONS, CHAT_COMPLETIONS)
"""The faces; if several own a value, the first one wins."""
UNKNOWN = Face()
"""The face of all other endpoints."""
MAX_VALUES_READ = 100
"""Maximum values of a stream that are looked at to choose its face."""

_BY_PATH = sorted(((path, face) for face in FACES for path in face.paths), key=lambda item: -len(item[0]))
_PATHS = tuple(path for path, _ in _BY_PATH)


@lru_cache(256)
def face_of_path(path: str) -> Face:
    """Return the face for a path without its query. Cached, because most calls have the same path."""
    if not path.endswith(_PATHS):
        return UNKNOWN
    return next(face for end, face in _BY_PATH if path.endswith(end))


def error_body(message: str, kind: str, path: str = "") -> bytes:
    """Return an error of our own in the form of the face that a path, possibly with its query, belongs to."""
    bare = path.partition("?")[0]
    face = face_of_path(bare)
    if face is UNKNOWN:
        face = next((each for each in FACES if any(part in bare for part in each.error_paths)), UNKNOWN)
    error = ApiError(kind, message, None, {"message": message, "type": kind})
    return json.dumps(face.error_answer(error), ensure_ascii=False).encode("utf-8", "replace")


def only_text(value: object) -> OnlyText | None:
    """Return the single text that an event of any face adds (see `Face.only_text`)."""
    return next(filter(None, (face.only_text(value) for face in reversed(FACES))), None)  # most are chat completions


def face_of(path: str, values: Iterable[object]) -> Face:
    """Return the face of an answer: the one for its path, unless only another face owns one of `values`.

    `values` are the parsed JSON of the answer, or of each event of the stream.
    """
    named = face_of_path(path)
    others = []
    for value in islice(values, MAX_VALUES_READ):
        fields = mapping(value)
        if named.owns(fields):  # nearly always the first one
            return named
        others.append(fields)
    return next((face for face in FACES if any(map(face.owns, others))), named)
