"""Which old encoding a line is written in, guessed from its bytes alone."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple


class Encoding(NamedTuple):
    """An encoding.

    Attributes:
        name: as `iconv` takes it.
        words: for people.
    """

    name: str
    words: str


WINDOWS = Encoding("WINDOWS-1252", "Windows-1252")
LATIN = Encoding("WINDOWS-1252", "Latin-1 or Windows-1252")
# Letters that are common where the alphabet is another one, each in its lower half of a code page.
_ALPHABETS = {
    "cp1251": (Encoding("WINDOWS-1251", "Windows-1251 (Cyrillic)"), "оеаинтсрвлкмдпу"),
    "koi8_r": (Encoding("KOI8-R", "KOI8-R (Cyrillic)"), "оеаинтсрвлкмдпу"),
    "iso8859_7": (Encoding("ISO-8859-7", "ISO-8859-7 (Greek)"), "αοιετσνηυρπκμάέίόή"),
    "cp1255": (Encoding("WINDOWS-1255", "Windows-1255 (Hebrew)"), "יוהלאמרבתשםנכד"),
    "cp1256": (Encoding("WINDOWS-1256", "Windows-1256 (Arabic)"), "اليمونرتبعحس"),
    "tis_620": (Encoding("TIS-620", "TIS-620 (Thai)"), "านรอกเงมยล่สวด้ทต"),
}
_JAPANESE = {
    "cp932": Encoding("CP932", "Shift-JIS (Japanese)"),
    "euc_jp": Encoding("EUC-JP", "EUC-JP (Japanese)"),
}
_KOREAN = {"cp949": Encoding("CP949", "CP949 (Korean)")}
_CHINESE = {
    "gbk": Encoding("GBK", "GBK (simplified Chinese)"),
    "big5": Encoding("BIG5", "Big5 (traditional Chinese)"),
}
_ALL = _JAPANESE | _KOREAN | _CHINESE


def encoding_of(content: bytes) -> Encoding:
    """The encoding of text that is not UTF-8, perhaps of two bytes a character."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return Encoding("UTF-16", "UTF-16, as Excel writes Unicode text")
    return likely_encoding(content)


def likely_encoding(line: bytes) -> Encoding:
    """The encoding of a line that is not UTF-8.

    European texts have single bytes beyond ASCII between letters; East Asian ones have pairs whose
    characters are, in the true encoding, of the scripts and of the rows that people really use.
    """
    beyond = [byte for byte in line if byte >= 0x80]
    if len(beyond) >= _ENOUGH:
        scores = {name: _share_of_common(line, name) for name in _ALL}
        best = max(scores, key=lambda name: scores[name])
        if scores[best] >= _MOST:
            return _ALL[best]
        if sum(byte >= 0xA1 for byte in beyond) >= _MOST * len(beyond) and _is_in_runs(line):
            scores = {name: _share_of_letters(line, name) for name in _ALPHABETS}
            best = max(scores, key=lambda name: scores[name])
            if scores[best] >= _HALF:
                return _ALPHABETS[best][0]
    return WINDOWS if any(byte < 0xA0 for byte in beyond) else LATIN


_ENOUGH, _MOST, _HALF = 4, 0.8, 0.5


def _share_of_letters(line: bytes, codec: str) -> float:
    """Of the characters beyond ASCII, the share that is common in texts of that alphabet."""
    beyond = [each for each in line.decode(codec, "replace") if each > "\x7f"]
    return sum(each in _ALPHABETS[codec][1] for each in beyond) / len(beyond)


def _share_of_common(line: bytes, codec: str) -> float:
    """Of the characters beyond ASCII, the share that is common in texts of that encoding."""
    try:
        beyond = [character for character in line.decode(codec) if character > "\x7f"]
    except UnicodeDecodeError:
        return 0.0
    common = sum(_is_common(character, codec) for character in beyond)
    scripted = codec in _CHINESE or any(_is_of_script(each, codec) for each in beyond)
    return common / len(beyond) if beyond and scripted else 0.0


def _is_common(character: str, codec: str) -> bool:
    if "\u3000" <= character <= "\u3020" or "\uff01" <= character <= "\uff5e":
        return True  # Their punctuation, and Latin letters as wide as theirs.
    if codec not in _CHINESE:
        is_kanji = codec in _JAPANESE and "\u4e00" <= character <= "\u9fff"
        return is_kanji or _is_of_script(character, codec)
    first = character.encode(codec)[0]
    return 0xB0 <= first <= 0xD7 if codec == "gbk" else 0xA4 <= first <= 0xC6


def _is_of_script(character: str, codec: str) -> bool:
    """Whether it is of the script that has no other home: kana, or Hangul."""
    if codec in _KOREAN:
        return "\uac00" <= character <= "\ud7a3"
    return "\u3041" <= character <= "\u30fa"


def _is_in_runs(line: bytes) -> bool:
    """Whether most bytes beyond ASCII have such a byte beside them."""
    beside = sum(one >= 0x80 and other >= 0x80 for one, other in pairwise(line))
    return 2 * beside > sum(byte >= 0x80 for byte in line)
