"""Detect the form of a body from its first bytes, which arrive encoded and cut anywhere."""

from moonpalace_addons.wire.codings.encodings import Decoder
from moonpalace_addons.wire.forms import BOM, MAX_HEAD, Form, form_of


class Sniffer:
    """Detect the form of a body; memory is bounded by `MAX_HEAD`. `form` is None until it is known."""

    def __init__(self, label: str | None, content_encoding: str | None = None) -> None:
        self.form: Form | None = None
        self._label = label
        self._decoder = Decoder(content_encoding, MAX_HEAD)
        self._head = b""

    @property
    def has_begun(self) -> bool:
        """Return whether the body has begun, even if only with whitespace."""
        return not BOM.startswith(self._head)

    @property
    def is_object(self) -> bool:
        """Return whether the body is a JSON object, judged by its first byte."""
        return self.form is Form.JSON and self._head.removeprefix(BOM).lstrip().startswith(b"{")

    def feed(self, data: bytes) -> Form | None:
        """Add the next bytes; return the form."""
        if self.form is None:
            self._head += self._decoder.feed(data)[:MAX_HEAD]
            self.form = form_of(self._head, self._label)
        return self.form

    def close(self) -> Form:
        """End the body; return the form."""
        if self.form is None:
            self._head += self._decoder.close()
            self.form = form_of(self._head, self._label, is_over=True) or Form.OTHER
        return self.form
