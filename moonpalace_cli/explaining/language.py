"""The language of the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
"""The variables of the locale; the first one that is set counts, as for all programs."""
ENGLISH = "English"
SIMPLIFIED, TRADITIONAL_CHINESE = "Chinese (simplified characters)", "Chinese (traditional characters)"
STYLES: Mapping[str, str] = {
    SIMPLIFIED: (
        "请用简体中文写，就像写给同事看：句子要短，先说结论；参数名、字段名、命令、模型名和错误原文照抄，不翻译；"
        "token、prompt 等术语保留英文；使用全角标点，中文与英文、数字之间空一格；不超过 300 字。"
    ),
    TRADITIONAL_CHINESE: (
        "請用繁體中文寫，就像寫給同事看：句子要短，先說結論；參數名、欄位名、指令、模型名和錯誤原文照抄，不翻譯；"
        "token、prompt 等術語保留英文；使用全形標點，中文與英文、數字之間空一格；不超過 300 字。"
    ),
}
"""Additional instructions for languages in which a model's texts otherwise read like translations."""
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


def terminal_language() -> str:
    """Return the language of our own texts on this terminal."""
    return code_of(os.environ, sys.stdout.encoding)


def code_of(environ: Mapping[str, str], encoding: str) -> str:
    """Return "zh" for simplified Chinese if the encoding supports it, else "en"."""
    try:
        "中文".encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return "en"
    return "zh" if language_of(environ) == SIMPLIFIED else "en"


def language_of(environ: Mapping[str, str]) -> str:
    """Return the English name of the locale's language; English if it is unknown."""
    locale = next((environ[name] for name in VARIABLES if environ.get(name)), "").lower()
    code, _, rest = locale.partition(".")[0].partition("@")[0].replace("-", "_").partition("_")
    if code == "zh":
        return TRADITIONAL_CHINESE if any(word in rest.split("_") for word in TRADITIONAL) else SIMPLIFIED
    return NAMES.get(code, ENGLISH)
