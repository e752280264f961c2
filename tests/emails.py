"""E-mails of every kind that a mailbox holds, good, odd, broken and hostile, and what is read of each."""

import base64
from dataclasses import dataclass

from tests.bad_input import Dead

SUBJECT = "Order 7"
BODY = "The charger smokes."
TEXT = f"{SUBJECT}\n\n{BODY}"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256))).decode()


@dataclass(frozen=True)
class Read:
    """An e-mail that is labelled, and the text that the model reads of it."""

    value: bytes
    text: str = TEXT


def mail(content: str | bytes, *fields: str, subject: str | None = SUBJECT) -> bytes:
    """An e-mail as a mail server hands it over, with these fields in its header too, those of MIME say."""
    header = ["Received: from mx.example.org by mx.example.com; Tue, 3 Nov 2026 09:12:00 +0100"]
    header += ["Message-ID: <7@example.org>", "From: Anna <anna@example.org>", "To: support@example.com"]
    header += [] if subject is None else [f"Subject: {subject}"]
    body = content if isinstance(content, bytes) else content.replace("\n", "\r\n").encode()
    return "\r\n".join([*header, *fields, "", ""]).encode() + body


def part(content_type: str, content: str = "", *fields: str) -> str:
    """A part, its own header included."""
    return "\n".join([f"Content-Type: {content_type}", *fields, "", content])


def parts(kind: str, *contents: str, boundary: str = "b1") -> str:
    """A part that has parts."""
    inside = "".join(f"--{boundary}\n{content}\n" for content in contents)
    return part(f'multipart/{kind}; boundary="{boundary}"', f"{inside}--{boundary}--\n")


def with_parts(kind: str, *contents: str, subject: str | None = SUBJECT) -> bytes:
    """An e-mail that has parts."""
    content_type, _, content = parts(kind, *contents).partition("\n\n")
    return mail(content, content_type, subject=subject)


def nested(depth: int, inmost: str) -> bytes:
    """An e-mail with so many containers, one inside the other."""
    content = inmost
    for level in range(depth):
        content = parts("mixed", content, boundary=f"level-{level}")
    content_type, _, content = content.partition("\n\n")
    return mail(content, content_type)


def encoded(text: str, charset: str, declared: str | None) -> bytes:
    """An e-mail whose text is in one charset, and which declares one, perhaps another, or none."""
    content_type = "text/plain" if declared is None else f"text/plain; charset={declared}"
    return mail(text.encode(charset), f"Content-Type: {content_type}", "Content-Transfer-Encoding: 8bit")


def read(body: str, subject: str = SUBJECT) -> str:
    """The text of an e-mail with this body."""
    return f"{subject}\n\n{body}"


PLAIN = part("text/plain; charset=utf-8", BODY)
HTML = part("text/html; charset=utf-8", f"<p>{BODY.replace(' smokes', ' <b>smokes</b>')}</p>")
OTHER_HTML = part("text/html", "<p>The same in other words.")
PDF = part("application/pdf; name=bill.pdf", PNG, "Content-Transfer-Encoding: base64")
IMAGE = part("image/png", PNG, "Content-Transfer-Encoding: base64", "Content-ID: <1>")
ATTACHED = part("text/plain", "An old log.", "Content-Disposition: attachment; filename=log.txt")
FORWARDED = part("message/rfc822", f"From: x@example.net\nSubject: Old\n\n{part('text/plain', 'Old text.')}")
CALENDAR = part("text/calendar; method=REQUEST", "BEGIN:VCALENDAR\nSUMMARY:Call\nEND:VCALENDAR")
BASE64 = "Content-Transfer-Encoding: base64"
QUOTED = "Content-Transfer-Encoding: quoted-printable"
GERMAN = "Das Ladegerät für 5 € raucht „sofort“ …"
WROTE = "On Tue, Nov 3, 2026 at 9:12 AM Support <support@example.com> wrote:"
RUSSIAN = "Зарядка дымится, позвоните мне сегодня."
JAPANESE = "充電器から煙が出ています。"
CHINESE = "充电器在冒烟。请今天给我打电话。"
KOREAN = "충전기에서 연기가 납니다."

EMAILS: dict[str, Read | Dead] = {
    # Structure
    "no MIME": Read(mail(BODY)),
    "plain": Read(mail(BODY, "Content-Type: text/plain")),
    "lines that end with LF alone": Read(mail(BODY).replace(b"\r\n", b"\n")),
    "line of an mbox first": Read(b"From anna@example.org Tue Nov  3 09:12:00 2026\n" + mail(BODY)),
    "no subject": Read(mail(BODY, subject=None), BODY),
    "subject of white space": Read(mail(BODY, subject=" \t"), BODY),
    "no body": Read(mail(""), SUBJECT),
    "no line after the header": Read(mail("").rstrip(b"\r\n"), SUBJECT),
    "subject alone": Read(b"Subject: Late again", "Late again"),
    "versions, plain first": Read(with_parts("alternative", PLAIN, OTHER_HTML)),
    "versions, HTML first": Read(with_parts("alternative", OTHER_HTML, PLAIN)),
    "versions, plain says nothing": Read(with_parts("alternative", part("text/plain", " \n"), HTML)),
    "versions, HTML alone": Read(with_parts("alternative", HTML)),
    "versions, HTML with pictures": Read(
        with_parts("alternative", parts("related", HTML, IMAGE, boundary="b2"))
    ),
    "versions, plain and a calendar": Read(with_parts("alternative", PLAIN, CALENDAR)),
    "HTML": Read(mail(f"<html><title>no</title><p>{BODY}", "Content-Type: text/html")),
    "HTML with hidden text": Read(mail(f"<p style='display: none'>no</p>{BODY}", "Content-Type: text/html")),
    "HTML that is empty": Read(mail("<img src=x>", "Content-Type: text/html"), SUBJECT),
    "HTML that names another charset": Read(
        mail('<meta charset="utf-16"><p>zu spät', "Content-Type: text/html; charset=utf-8"), read("zu spät")
    ),
    "with a file": Read(with_parts("mixed", PLAIN, PDF)),
    "file first": Read(with_parts("mixed", PDF, PLAIN)),
    "text around a picture": Read(
        with_parts("mixed", PLAIN, IMAGE, part("text/plain", "Call me.")), read(f"{BODY}\n\nCall me.")
    ),
    "text attached": Read(with_parts("mixed", PLAIN, ATTACHED)),
    "text attached without a name": Read(
        with_parts("mixed", PLAIN, part("text/plain", "An old log.", "Content-Disposition: Attachment"))
    ),
    "text inline, with a file's name": Read(
        with_parts("mixed", PLAIN, part("text/plain", "no", "Content-Disposition: inline; filename=a.txt"))
    ),
    "text inline": Read(with_parts("mixed", part("text/plain", BODY, "Content-Disposition: inline"), PDF)),
    "HTML with a footer of a list": Read(
        with_parts("mixed", HTML, part("text/plain", "To leave: list@example.net")),
        read(f"{BODY}\n\nTo leave: list@example.net"),
    ),
    "HTML and its pictures": Read(with_parts("related", HTML, IMAGE)),
    "signed": Read(with_parts("signed", PLAIN, part("application/pkcs7-signature", PNG, BASE64))),
    "encrypted": Read(
        with_parts(
            "encrypted",
            part("application/pgp-encrypted", "Version: 1"),
            part("application/octet-stream", PNG),
        ),
        SUBJECT,
    ),
    "report of a delivery that failed": Read(
        with_parts(
            "report; report-type=delivery-status",
            part("text/plain", "It could not be delivered."),
            part("message/delivery-status", "Reporting-MTA: dns; mx.example.net\n\nAction: failed"),
            FORWARDED,
            part("text/rfc822-headers", "Subject: Old"),
        ),
        read("It could not be delivered."),
    ),
    "message attached": Read(with_parts("mixed", PLAIN, FORWARDED)),
    "message attached alone": Read(with_parts("mixed", FORWARDED), SUBJECT),
    "digest": Read(with_parts("digest", "\nSubject: Old\n\nOld text."), SUBJECT),
    "files alone": Read(with_parts("mixed", PDF, IMAGE, ATTACHED), SUBJECT),
    "a file and nothing else": Read(mail(PNG, "Content-Type: application/pdf", BASE64), SUBJECT),
    "calendar alone": Read(mail("BEGIN:VCALENDAR", "Content-Type: text/calendar"), SUBJECT),
    "kind that does not exist": Read(with_parts("strange", PLAIN, part("x-strange/x-thing", "no"))),
    "content type that is none": Read(mail(BODY, "Content-Type: ;;;")),
    "pieces of a parameter that do not fit": Read(
        mail(BODY, "Content-Type: text/plain; charset*1=x; charset*=y; format*0=z")
    ),
    "19 deep": Read(nested(19, PLAIN)),
    "200 files": Read(with_parts("mixed", PLAIN, *[PDF] * 200)),
    "text after a huge file": Read(
        with_parts("mixed", part("image/png", (PNG[:76] + "\n") * 11_000, BASE64), PLAIN)
    ),
    "cut off in a part": Read(with_parts("mixed", PLAIN, PDF)[:-100]),
    "cut off in the text": Read(
        with_parts("mixed", part("text/plain", BODY * 9)).rpartition(b"smokes")[0],
        read(BODY * 8 + "The charger"),
    ),
    # Encodings
    "base64": Read(
        mail(base64.encodebytes(GERMAN.encode()), "Content-Type: text/plain; charset=utf-8", BASE64),
        read(GERMAN),
    ),
    "base64 without its end": Read(
        mail(base64.b64encode(BODY.encode()).rstrip(b"="), "Content-Type: text/plain", BASE64)
    ),
    "quoted-printable": Read(
        mail(
            "Das Ladeger=C3=A4t =\nraucht =E2=80=A6 sofort=",
            "Content-Type: text/plain; charset=utf-8",
            QUOTED,
        ),
        read("Das Ladegerät raucht … sofort"),
    ),
    "quoted-printable that is none": Read(
        mail("100 % =: =ZZ = =3D", "Content-Type: text/plain", QUOTED), read("100 % =: =ZZ = =")
    ),
    "encoding that does not exist": Read(mail(BODY, "Content-Transfer-Encoding: x-strange")),
    "uuencode": Read(
        mail(
            "begin 644 a\n3" + "5&AE(&-H87)G97(@<VUO:V5S+@  \n \nend\n",
            "Content-Transfer-Encoding: x-uuencode",
        )
    ),
    "flowed": Read(mail("The charger \nsmokes.\n", "Content-Type: text/plain; format=flowed")),
    "flowed, spaces of no text": Read(
        mail("The charger sm \nokes.", 'Content-Type: text/plain; format="Flowed"; delsp=Yes')
    ),
    # Charsets
    "UTF-8": Read(encoded(GERMAN, "utf-8", '"UTF-8"'), read(GERMAN)),
    "UTF-8 with a byte order mark": Read(encoded(GERMAN, "utf-8-sig", "utf-8"), read(GERMAN)),
    "UTF-8, declared ASCII": Read(encoded(GERMAN, "utf-8", "us-ascii"), read(GERMAN)),
    "UTF-8, declared Latin-1": Read(encoded(GERMAN, "utf-8", "iso-8859-1"), read(GERMAN)),
    "UTF-8, nothing declared": Read(encoded(GERMAN, "utf-8", None), read(GERMAN)),
    "UTF-8 with a damaged byte": Read(
        mail(GERMAN.encode() + b" \xff", "Content-Type: text/plain; charset=utf-8"), read(f"{GERMAN} \ufffd")
    ),
    "UTF-8 with a damaged byte, nothing declared": Read(
        mail(GERMAN.encode() + b" \xe4"), read(f"{GERMAN} \ufffd")
    ),
    "Latin-1": Read(encoded("zu spät", "latin-1", "iso-8859-1"), read("zu spät")),
    "Windows-1252, declared Latin-1": Read(encoded(GERMAN, "cp1252", "ISO-8859-1"), read(GERMAN)),
    "Windows-1252, declared UTF-8": Read(encoded(GERMAN, "cp1252", "utf-8"), read(GERMAN)),
    "Windows-1252, nothing declared": Read(encoded(GERMAN, "cp1252", None), read(GERMAN)),
    "Windows-1252, declared something unknown": Read(encoded(GERMAN, "cp1252", "x-unknown"), read(GERMAN)),
    "KOI8-U": Read(encoded(RUSSIAN, "koi8-u", "koi8-u"), read(RUSSIAN)),
    "ISO-2022-JP": Read(encoded(JAPANESE, "iso2022_jp", "ISO-2022-JP"), read(JAPANESE)),
    "Shift JIS with Microsoft's signs": Read(
        encoded(f"①{JAPANESE}", "cp932", "shift_jis"), read(f"①{JAPANESE}")
    ),
    "GBK, declared GB2312": Read(encoded(f"镕{CHINESE}", "gbk", "gb2312"), read(f"镕{CHINESE}")),
    "Korean": Read(encoded(KOREAN, "cp949", "ks_c_5601-1987"), read(KOREAN)),
    "UTF-16": Read(
        mail(base64.b64encode(GERMAN.encode("utf-16")), "Content-Type: text/plain; charset=utf-16", BASE64),
        read(GERMAN),
    ),
    "UTF-7": Read(encoded(GERMAN, "utf-7", "utf-7"), read(GERMAN)),
    "codec that is no charset": Read(encoded(BODY, "ascii", "rot13")),
    "codec that takes the square": Read(encoded(BODY, "ascii", "punycode")),
    "charset in an odd spelling": Read(
        mail("zu spät".encode("latin-1"), "Content-Type: text/plain; charset*=''iso-8859-1"), read("zu spät")
    ),
    # Headers
    "subject in words": Read(
        mail(BODY, subject="=?utf-8?q?zu_sp=C3=A4t?= again"), read(BODY, "zu spät again")
    ),
    "subject in words of two charsets": Read(
        mail(BODY, subject="=?ISO-8859-1?Q?zu_sp=E4t=2C?= =?koi8-r?B?xNnN?="), read(BODY, "zu spät,дым")
    ),
    "subject cut inside a character": Read(
        mail(BODY, subject="=?utf-8?b?enUgc3DD?=\r\n =?utf-8?b?pHQ=?="), read(BODY, "zu spät")
    ),
    "subject in words with a language": Read(mail(BODY, subject="=?koi8-r*ru?b?xNnN?="), read(BODY, "дым")),
    "subject in words of an unknown charset": Read(
        mail(BODY, subject="=?x-unknown?q?late?="), read(BODY, "late")
    ),
    "subject with broken base64": Read(mail(BODY, subject="=?utf-8?b?a?="), read(BODY, "=?utf-8?b?a?=")),
    "subject with a backslash": Read(
        mail(BODY, subject=r"C:\users =?utf-8?q?late?="), read(BODY, r"C:\users late")
    ),
    "subject on three lines": Read(
        mail(BODY, subject="late\r\n again\r\n\tnow"), read(BODY, "late again now")
    ),
    "subject in plain UTF-8": Read(mail(BODY, subject="zu spät"), read(BODY, "zu spät")),
    "subject in plain Latin-1": Read(
        b"From: a@example.org\r\nSubject: zu sp\xe4t\r\n\r\n" + BODY.encode(), read(BODY, "zu spät")
    ),
    "subject with a line end in a word": Read(
        mail(BODY, subject="=?utf-8?q?late=0D=0ABcc:_x?="), read(BODY, "late Bcc: x")
    ),
    "header that is none in between": Read(mail(BODY, "X-Note: a", "x" * 2000 + ": b")),
    "100,000 fields": Read(mail(BODY, *["a: b"] * 100_000)),
    # What is cut
    "reply": Read(mail(f"{BODY}\n\n{WROTE}\n\n> Hello,\n> well?\n")),
    "reply in HTML": Read(
        mail(
            f'<div>{BODY}</div><div class="gmail_quote"><div>Am 3.11. schrieb</div>'
            "<blockquote type=cite>Hello</blockquote></div>",
            "Content-Type: text/html",
        )
    ),
    "signature": Read(mail(f"{BODY}\n\n-- \nAnna\n+1 555 0100")),
    "reply without a word of its own": Read(
        mail(f"{WROTE}\n\n> Hello,\n> well?"), read(f"{WROTE}\n\n> Hello,\n> well?")
    ),
    "sent from a telephone, and nothing else": Read(mail("Sent from my iPhone"), SUBJECT),
    # No e-mail
    "tombstone": Dead(None, "null-value"),
    "nothing": Dead(b"", "not-email"),
    "white space": Dead(b"\r\n \r\n", "not-email"),
    "bytes": Dead(bytes(range(256)) * 4, "not-email"),
    "JSON": Dead(b'{"text": "late", "subject": "x"}', "not-email"),
    "bare text": Dead(b"The charger: it smokes.\n\nSubject: no", "not-email"),
    "text with a colon": Dead(b"Note: the charger smokes.\n\nCall me.", "not-email"),
    "a page": Dead(b"<!doctype html><title>From: x</title>", "not-email"),
    "body without its header": Dead(b"\r\n" + mail(BODY), "not-email"),
    "UTF-16 all of it": Dead(mail(BODY).decode().encode("utf-16"), "not-email"),
    # Nothing to read
    "neither subject nor body": Dead(mail("", subject=None), "no-text"),
    "files without a subject": Dead(with_parts("mixed", PDF, IMAGE, subject=None), "no-text"),
    "picture in HTML without a subject": Dead(
        mail("<img src='cid:1'>", "Content-Type: text/html", subject=None), "no-text"
    ),
    "text of no width": Dead(mail("\u200b\u200b", subject="\u2060"), "no-text"),
    "telephone's line without a subject": Dead(mail("Von meinem iPhone gesendet", subject=None), "no-text"),
    # Broken
    "parts without a boundary": Dead(mail(BODY, "Content-Type: multipart/mixed"), "broken-mime"),
    "boundary that is never found": Dead(
        mail(BODY, "Content-Type: multipart/mixed; boundary=x"), "broken-mime"
    ),
    "empty boundary": Dead(
        mail(f"--\n\n{BODY}", 'Content-Type: multipart/mixed; boundary=""'), "broken-mime"
    ),
    "parts cut off before the first": Dead(
        with_parts("alternative", PLAIN, HTML).partition(b"--b1")[0], "broken-mime"
    ),
    "30 deep": Dead(nested(30, PLAIN), "broken-mime"),
    "2,000 deep": Dead(nested(2000, PLAIN), "broken-mime"),
    "10,000 parts": Dead(with_parts("mixed", *["\nx"] * 10_000), "broken-mime"),
    # Too large
    "2 MB": Dead(mail("late " * 400_000), "too-large"),
    "too large once labelled": Dead(mail("late " * 199_940), "too-large"),
}
