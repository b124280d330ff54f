"""The language of the terminal."""

from __future__ import annotations

from collections.abc import Mapping

VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The first of these that is set counts, as for all programs."""
ENGLISH = "English"
TRADITIONAL = ("tw", "hk", "mo", "hant")
NAMES = {
    "ar": "Arabic",
    "de": "German",
    "en": ENGLISH,
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
}


def language_of(environ: Mapping[str, str]) -> str:
    """Return the language of the locale in English; English for one that is not known."""
    locale = next((environ[name] for name in VARIABLES if environ.get(name)), "").lower()
    code, _, rest = locale.partition(".")[0].partition("@")[0].replace("-", "_").partition("_")
    if code == "zh":
        script = "traditional" if any(word in rest.split("_") for word in TRADITIONAL) else "simplified"
        return f"Chinese ({script} characters)"
    return NAMES.get(code, ENGLISH)
