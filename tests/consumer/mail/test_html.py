"""HTML to text."""

import pytest

from consumer.mail.html import text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain &amp; <b>bo</b>ld", "plain & bold"),
        ("<p>a<p>b", "a\n\nb"),
        ("<div>a</div><div>b<br></div><div><br></div>c", "a\nb\n\nc"),
        ("a<br>b<br><br>c", "a\nb\n\nc"),
        ("a\n  b\u00a0&nbsp; c", "a b c"),
        ("<ul><li>a</li><li>b</li></ul>c", "a\nb\n\nc"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><th>c</table>d", "a b\nc\n\nd"),
        ("<pre>a\n  b\n</pre>c", "a\nb\n\nc"),
        ("<h1>a</h1>b<hr>c", "a\n\nb\nc"),
        ("<head><title>no</title><style>no</style></head><script>no</script>a<!-- no -->", "a"),
        ("<p hidden>no</p><div style='Display : None'>no<p>no</div>a", "a"),
        ("<p>a<o:p></o:p></p><![if !x]>b<![endif]>", "a\n\nb"),
        ("<div><div>a", "a"),
        ("</div></p>a</table>", "a"),
        ("<img src=cid:1 alt=no>", ""),
        ("", ""),
        ("<", "<"),
        ("\ufeff<html>a</html>", "a"),
    ],
)
def test_text_of_html(html: str, text: str) -> None:
    """Elements make the lines that a reader sees, and what is not seen is left out."""
    assert text_of(html).removeprefix("\ufeff") == text


def test_text_at_any_depth() -> None:
    """Text comes out however deep it lies."""
    assert text_of("<div>" * 100_000 + "late") == "late"


@pytest.mark.parametrize(
    "quoted",
    [
        '<div class="gmail_quote gmail_quote_container"><b>On … wrote:</b><blockquote>old</blockquote></div>',
        '<blockquote type="cite"><div>old</div></blockquote>',
        '<div class="moz-cite-prefix">On … wrote:</div><blockquote type="CITE">old</blockquote>',
        '<div id="mail-editor-reference-message-container"><p>old</p></div>',
        '<div class="yahoo_quoted"><div>old</div></div>',
        '<div class="gmail_signature"><b>Anna</b></div>',
        '<div id="Signature"><p>Anna</p></div>',
    ],
)
def test_what_mail_programs_mark_is_left_out(quoted: str) -> None:
    """What a mail program marks as quoted or as a signature goes, and what stands around it stays."""
    assert text_of(f"<p>late</p>{quoted}<p>again</p>") == "late\n\nagain"


def test_quotation_alone_stays() -> None:
    """A message in which all is quoted, such as a forwarded one, is read whole."""
    assert text_of('<div class="gmail_quote">Forwarded<br>late</div>') == "Forwarded\nlate"


def test_quotation_of_the_senders_own_stays() -> None:
    """A quotation that no mail program made is part of the text."""
    assert text_of("late<blockquote>Two days!</blockquote>you said") == "late\n\nTwo days!\n\nyou said"
