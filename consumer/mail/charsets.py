"""Bytes -> text, in the charset that a sender declares, where it is a charset and the right one."""

from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import Final

# The codecs of the alias table that turn bytes into bytes, or exist on one system alone.
_NO_CHARSETS: Final = {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "uu_codec", "zlib_codec"} | {
    *("rot_13", "mbcs", "tactis")
}
_OTHER_NAMES: Final = {
    "iso_8859_8_i": "iso8859_8",
    "koi8_u": "koi8_u",
    "windows_874": "cp874",
    "x_mac_cyrillic": "mac_cyrillic",
    "x_sjis": "cp932",
}
# A closed list: Python remembers each unknown name that it is asked for, so that names without end would fill
# the memory, and some codecs outside this list take quadratic time.
_CODECS: Final = {
    name: codec for alias, codec in aliases.items() for name in (alias, codec) if codec not in _NO_CHARSETS
} | _OTHER_NAMES
# What senders mean by these names is what Microsoft made of them.
_MEANT: Final = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "latin_1": "cp1252",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso8859_9": "cp1254",
    "big5": "big5hkscs",
}
_SINGLE_BYTE: Final = ("ascii", "cp1", "cp4", "cp8", "iso8859", "koi8", "latin", "mac_", "tis_620", "ptcp")


def decode(data: bytes, declared: str | None) -> str:
    """Decode bytes that are to be text; what fits no charset comes out as U+FFFD.

    UTF-8 comes before a declared single-byte charset: hardly any other text is valid UTF-8 by accident, and
    any bytes are valid in such a charset.
    """
    codec = _codec(declared) or "cp1252"
    for one in ("utf_8",) if codec.startswith(_SINGLE_BYTE) else (codec, "utf_8"):
        try:
            return data.decode(one).removeprefix("\ufeff")
        except UnicodeError:
            continue
    return _damaged_utf_8(data) or data.decode("cp1252" if codec == "utf_8" else codec, "replace")


def _codec(charset: str | None) -> str | None:
    name = normalize_encoding(charset or "").lower()
    codec = _CODECS.get(name)
    return _MEANT.get(codec, codec) if codec else None


def _damaged_utf_8(data: bytes) -> str | None:
    """Read what is UTF-8 but for a few bytes; None where more of the text is damaged than is not."""
    text = data.decode("utf-8", "replace")
    beyond_ascii = len(text) - len(text.encode("ascii", "ignore"))
    return text if 2 * text.count("\ufffd") < beyond_ascii else None
