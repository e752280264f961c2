"""Bytes in declared charsets, or in others."""

import pytest

from consumer.mail.charsets import decode


@pytest.mark.parametrize(
    "charset",
    [
        *("utf-8", "windows-1251", "koi8-r", "iso-8859-2", "iso-8859-5", "cp866", "mac-cyrillic", "gb18030"),
        *(
            "big5",
            "euc-jp",
            "euc-kr",
            "shift_jis",
            "iso-2022-jp",
            "iso-2022-kr",
            "hz",
            "utf-16",
            "windows-874",
        ),
    ],
)
def test_declared_charset_is_taken(charset: str) -> None:
    """Text in a charset that mail is written in comes out, under any spelling of its name."""
    letters = {
        "windows-874": "ช้า",
        "iso-2022-kr": "늦다",
        "euc-kr": "늦다",
        "big5": "太晚了",
        "iso-8859-2": "źle",
    }
    text = letters.get(charset, "дым")

    assert decode(text.encode("cp874" if charset == "windows-874" else charset), charset) == text
    assert decode(text.encode("cp874" if charset == "windows-874" else charset), charset.upper()) == text


def test_short_text_that_could_be_utf_8() -> None:
    """A declared multibyte charset comes before UTF-8, though the bytes are valid in both."""
    assert decode("联通".encode("gbk"), "gb2312") == "联通"


@pytest.mark.parametrize(
    "declared", ["rot13", "hex", "base64", "zlib", "idna", "punycode", "unicode_escape", "undefined"]
)
def test_codec_that_is_no_charset(declared: str) -> None:
    """Python's codecs that are no charsets are not applied to what a sender wrote."""
    assert decode(rb"zu sp\u00e4t 6c617465", declared) == r"zu sp\u00e4t 6c617465"


def test_bytes_that_fit_nothing() -> None:
    """What fits neither the declared charset nor UTF-8 comes out as U+FFFD, and the rest as it is."""
    assert decode(b"late \x81\xff", "euc-jp") == "late \ufffd\ufffd"
    assert decode("太晚".encode("gb18030") + b"\xff", "gb2312") == "太晚\ufffd"
