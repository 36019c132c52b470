"""Writes texts in which Python's own encoders and bash put random values, as JSON lines.

Each line has a value, and texts as pairs: the text, and the same text with the value replaced by `***`, both in base64.

usage: redact_forms.py COUNT SEED
"""

import base64
import json
import random
import shlex
import subprocess
import sys
import urllib.parse

PLAIN = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
HARD = PLAIN + b" \"'\\/%+=&?#:<>\n\r\t\x07$`!~*(),;@[]{}|^"
LETTERS = PLAIN.decode() + "äß☃🔑é\xa0\u200b\u2028\"'\\/ %+&<>\n\x1f\x7f"


def value() -> bytes:
    kind = random.randrange(4)
    length = random.randrange(8, 80)
    if kind == 0:
        return bytes(random.choices(PLAIN, k=length))
    if kind == 1:
        return bytes(random.choices(HARD, k=length))
    if kind == 2:
        return "".join(random.choices(LETTERS, k=length)).encode()
    return random.randbytes(length)


def around() -> bytes:
    return bytes(random.choices(b"{}()<> .,\n~", k=random.randrange(20)))


def decoded(secret: bytes) -> str | None:
    try:
        return secret.decode()
    except UnicodeDecodeError:
        return None


def forms(secret: bytes):
    """The encoded forms, each with the text around it that belongs to the encoding."""
    yield b"", secret, b""
    yield b"", secret.hex().encode(), b""
    yield b"", secret.hex().upper().encode(), b""
    yield b"b'", repr(secret + b"'\"")[2:-4].encode(), b"'"
    for quote in urllib.parse.quote, urllib.parse.quote_plus:
        for safe in "", "/", "!$&'()*+,;=:@", "!$&'()*+,;=", "!$&'()*+,;=:@/?", "!'()*~":
            if quote is urllib.parse.quote or safe == "":
                yield b"", quote(secret, safe=safe).encode(), b""
    text = decoded(secret)
    if text is not None:
        for ascii_only in True, False:
            yield b'"', json.dumps(text, ensure_ascii=ascii_only)[1:-1].encode(), b'"'
        printed = repr(text)
        yield printed[:1].encode(), printed[1:-1].encode(), printed[-1:].encode()
        printed = ascii(text)
        yield printed[:1].encode(), printed[1:-1].encode(), printed[-1:].encode()
        yield b"", text.encode("utf-16-le"), b""
        if text.isprintable():
            quoted = shlex.quote(text)
            inner = quoted[1:-1] if quoted.startswith("'") else quoted
            yield b"'", inner.encode(), b"'"
    if b"\0" not in secret:
        quoted = subprocess.run(
            ["bash", "-c", 'printf %q "$1"', "bash", secret], env={"LC_ALL": "C"}, capture_output=True, check=True
        ).stdout
        if quoted.startswith(b"$'"):
            yield quoted[:2], quoted[2:-1], quoted[-1:]
    for encode in base64.b64encode, base64.urlsafe_b64encode:
        for before in range(4):
            for after in range(4):
                whole = encode(random.randbytes(before) + secret + random.randbytes(after))
                start = -(-before * 8 // 6)
                end = (before + len(secret)) * 8 // 6
                yield whole[:start], whole[start:end], whole[end:]


def main() -> None:
    count, seed = int(sys.argv[1]), int(sys.argv[2])
    random.seed(seed)
    for _ in range(count):
        secret = value()
        texts = []
        for before, form, after in forms(secret):
            if len(form) < 8:
                continue
            start, end = around() + before, after + around()
            texts.append([start + form + end, start + b"***" + end])
        pairs = [[base64.b64encode(part).decode() for part in pair] for pair in texts]
        print(json.dumps({"value": base64.b64encode(secret).decode(), "texts": pairs}))


if __name__ == "__main__":
    main()
