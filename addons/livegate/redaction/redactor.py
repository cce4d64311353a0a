"""Redactor of values that are stored or shown. A placeholder has the length and a keyed hash of the secret.

Nothing here raises because of its input; input that cannot be parsed is treated as plain text.
"""

import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, cast
from urllib.parse import quote, unquote_plus, urlsplit

from msgspec import Struct, structs

from livegate.redaction.markup import redact_dynamics, redact_markup

SECRET_FIELDS = frozenset(
    {"password", "passwd", "pwd", "passphrase", "token", "secret", "secrets", "card", "cvc", "cvv", "iban", "ssn"}
    | {"otp", "pin", "pincode", "apikey", "authorization", "credential", "credentials", "csrf", "accesskey"}
    | {"privatekey", "signature"}
)
"""Words in the name of a field that make its value a secret: `user[password]`, `cardNumber`.

Two adjacent words are joined: `apikey` matches `x-api-key`, `api_key` and `apiKey`.
"""
SECRET_QUERY_NAMES = frozenset({"code", "key", "sig", "state", "sid", "auth"})
"""Further names of secrets in the query of a URL."""
OPAQUE_KEYS = frozenset({"session", "static", "flash"})
"""Keys of a LiveView join whose values are signed tokens, whatever their format."""
MIN_OPAQUE_CHARACTERS = 16
MAX_TEXT_CHARACTERS = 2000
"""Length of one text in a redacted value. Longer texts are cut, because they come from outside."""
MAX_DEPTH = 100
MAX_FORM_FIELDS = 10_000
HASH_BYTES = 3
MAX_NAMES = 10_000
"""Field names whose classification is cached. Beyond, further names are classified each time."""
MAX_NAME_CHARACTERS = 200

_PLACEHOLDER = re.compile(r"⟪redacted-\d+-chars-[0-9a-f]{6}⟫")
"""Placeholder; none of its characters has a meaning in URLs, forms, JSON or HTML, so it stays in one piece there."""
_TOKENS = re.compile(
    r"(?<![\w-])SFMyNTY\.[\w-]{4,}(?:\.[\w-]*)?"  # Phoenix.Token, Plug.Session
    r"|(?<![\w-])eyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*){0,3}"  # a JSON web token, signed or encrypted
    r"|(?<=base64url\.bearer\.phx\.)[\w=-]+"
    r"|(?<=[Bb]earer )[\w.~+/=-]{8,}"
    r"|(?<=[Bb]asic )[A-Za-z0-9+/=]{8,}"
)
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_PAIR = re.compile(r"""(?<![\w\[\].%+-])([\w\[\].%+-]{1,200})=([^&\s"'<>;,]+)""")
_QUOTED_PAIR = re.compile(
    r"""(?<![\w.-])(["']?)([\w.-]{1,60}|[\w\[\].-]{1,60})\1\s{0,8}[:=]\s{0,8}(["'])((?:(?!\3)[^\\\n]|\\.)*)\3"""
)
_URL = re.compile(r"""(?:https?|wss?)://[^\s"'<>]+|(?<![^\s"'(=<>])/[^\s?"'<>]*\?[^\s"'<>]+""")
_SEPARATORS = b"_-. []"
_NEEDLES = ('"session"', '"static"', '"flash"', "sfmynty", "eyj", "bearer", "basic", "\\u", "%")
"""Every text that holds a secret contains one of these or a secret word, in lower case without separators."""
_PATH_OR_CREDENTIALS = re.compile(r"/[\w-]{40}|//[^/\s\"]{0,200}@")
_URL_STARTS = ("http://", "https://", "ws://", "wss://", "/")
_LONG_SEGMENT = re.compile(r"(?<=/)(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z0-9_-]{40,}(?=[/?#\s\"'<>)]|$)")
MAX_KNOWN_CLEAN, MAX_KNOWN_CLEAN_CHARACTERS = 4096, 64
"""Texts without secrets that are cached, and the length of one. When the cache is full it is cleared."""


def holds_token(text: str) -> bool:
    """Return whether a text contains a token, by its format."""
    return _TOKENS.search(text) is not None


@dataclass(frozen=True, slots=True)
class RedactionRules:
    """Names of secret fields, and the key of the hashes, which is random per process."""

    fields: frozenset[str] = SECRET_FIELDS
    """Words in lower case without separators."""
    query: frozenset[str] = SECRET_QUERY_NAMES
    key: bytes = field(default_factory=lambda: secrets.token_bytes(32))


class Redactor:
    """Redactor of text, JSON, forms, URLs, HTML and frames."""

    def __init__(self, rules: RedactionRules | None = None) -> None:
        self.enabled = True
        self.set_rules(rules or RedactionRules())

    def set_rules(self, rules: RedactionRules) -> None:
        """Set the rules, and clear the caches."""
        self.rules = rules
        shortest = sorted(rules.fields, key=len)
        self._needles = [
            *(word for at, word in enumerate(shortest) if not any(other in word for other in shortest[:at])),
            *_NEEDLES,
        ]
        self._names: dict[str, bool] = {}
        self._known_clean: set[str] = set()
        """Short texts without secrets, because names and paths repeat."""

    def has_no_secrets(self, text: str) -> bool:
        """Return whether a text certainly holds no secret; a fast check that most texts pass."""
        known = self._known_clean  # read before the rules, because another thread may change them
        if text in known:
            return True
        if not self._contains_no_needle(text):
            return False
        if len(text) <= MAX_KNOWN_CLEAN_CHARACTERS:
            if len(known) >= MAX_KNOWN_CLEAN:
                known.clear()
            known.add(text)
        return True

    def _contains_no_needle(self, text: str) -> bool:
        # Bytes are faster to translate than text, and text is faster to search.
        compact = text.encode("utf-8", "replace").lower().translate(None, _SEPARATORS).decode("latin-1")
        for needle in self._needles:
            if needle in compact:
                return False
        if "=" in text and ("?" in text or "&" in text):
            return False  # a query, in which more names are secret
        return "/" not in text or _PATH_OR_CREDENTIALS.search(text) is None

    def placeholder(self, value: str) -> str:
        """Return the placeholder of a secret. Empty values and placeholders stay."""
        if not value or not self.enabled or _PLACEHOLDER.fullmatch(value):
            return value
        digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), key=self.rules.key, digest_size=HASH_BYTES)
        return f"⟪redacted-{len(value)}-chars-{digest.hexdigest()}⟫"

    def is_secret(self, name: str) -> bool:
        """Return whether a field of this name holds a secret, by its words or by pairs of adjacent words."""
        names = self._names  # as with `_known_clean`
        known = names.get(name)
        if known is None:
            words = [word.lower() for word in _WORDS.findall(unquote_plus(name))]
            pairs = [first + second for first, second in pairwise(words)]
            known = not self.rules.fields.isdisjoint([*words, *pairs])
            if len(names) < MAX_NAMES and len(name) < MAX_NAME_CHARACTERS:
                names[name] = known
        return known

    def redact[T](self, value: T) -> T:
        """Return a plain value or a Struct with each text in it redacted and cut to MAX_TEXT_CHARACTERS."""
        redacted: Any = self._redact(value)
        return cast("T", redacted)

    def _redact(self, value: Any) -> Any:
        if isinstance(value, Struct):
            return structs.replace(
                value, **{name: self._redact(getattr(value, name)) for name in value.__struct_fields__}
            )
        if isinstance(value, str):
            return self.string(value if len(value) <= MAX_TEXT_CHARACTERS else f"{value[:MAX_TEXT_CHARACTERS]}…")
        if isinstance(value, dict):
            return {self._redact(str(key)): self._redact(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self._redact(each) for each in value]
        return value

    def markup(self, text: str) -> str:
        """Redact the values of secret fields in HTML or a part of it."""
        return redact_markup(text, self.is_secret, self.placeholder)

    def json(self, value: Any) -> Any:
        """Redact a JSON value; without secrets the same object is returned."""
        return self._json(value, 0)

    def _json(self, value: Any, depth: int, templates: Any = None) -> Any:
        if isinstance(value, str):
            text = self.string(value)
            return value if text == value else text
        if depth > MAX_DEPTH:
            return "⟪nested too deeply⟫" if isinstance(value, dict | list) else value
        if isinstance(value, dict):
            templates = value.get("p", templates)
            redacted = {key: self._field(key, item, depth, templates) for key, item in value.items()}
            if "s" in value:
                self._rendered(value, redacted, templates)
            return redacted if any(redacted[key] is not item for key, item in value.items()) else value
        if isinstance(value, list):
            items = [self._json(item, depth + 1, templates) for item in value]
            return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
        return value

    def _rendered(self, node: dict[str, Any], found: dict[str, Any], templates: Any) -> None:
        """Redact in `found` the dynamics of a rendered node that are values of secret fields in its statics."""
        statics = node["s"]
        if isinstance(statics, int) and isinstance(templates, dict):
            statics = templates.get(str(statics))
        if not isinstance(statics, list):
            return
        found |= redact_dynamics(statics, found, self.is_secret, self.placeholder)
        keyed, rows = found.get("k"), found.get("d")
        if isinstance(keyed, dict):
            entries = {key: each for key, each in keyed.items() if isinstance(each, dict)}
            redacted = {key: self._entry(statics, each) for key, each in entries.items()}
            if any(redacted[key] is not each for key, each in entries.items()):
                found["k"] = keyed | redacted
        if isinstance(rows, list):
            found["d"] = [self._row(statics, row) if isinstance(row, list) else row for row in rows]

    def _entry(self, statics: list[Any], entry: dict[str, Any]) -> dict[str, Any]:
        redacted = redact_dynamics(statics, entry, self.is_secret, self.placeholder)
        return entry | redacted if redacted else entry

    def _row(self, statics: list[Any], row: list[Any]) -> list[Any]:
        redacted = redact_dynamics(
            statics, {str(at): each for at, each in enumerate(row)}, self.is_secret, self.placeholder
        )
        return [redacted.get(str(at), each) for at, each in enumerate(row)] if redacted else row

    def _field(self, key: str, value: Any, depth: int, templates: Any = None) -> Any:
        if self.is_secret(key):
            return self._redact_all(value, depth)
        if key in OPAQUE_KEYS and isinstance(value, str) and len(value) >= MIN_OPAQUE_CHARACTERS:
            return self.placeholder(value)
        return self._json(value, depth + 1, templates)

    def _redact_all(self, value: Any, depth: int) -> Any:
        """Redact all values below the name of a secret."""
        if depth > MAX_DEPTH:
            return "⟪nested too deeply⟫"
        if isinstance(value, dict):
            return {key: self._redact_all(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [self._redact_all(item, depth + 1) for item in value]
        if value is None or isinstance(value, bool):
            return value
        return self.placeholder(str(value))

    def string(self, text: str) -> str:
        """Redact a text within JSON, which may be a form, a URL, or free text."""
        if self.has_no_secrets(text):
            return text
        if text.startswith(_URL_STARTS):
            return self.url(text)
        if "=" in text and not any(character.isspace() for character in text) and "<" not in text:
            return self.form(text)
        return self.text(text)

    def form(self, text: str) -> str:
        """Redact a URL-encoded form or a query."""
        fields = text.split("&", MAX_FORM_FIELDS)
        more = fields[MAX_FORM_FIELDS:]  # the rest becomes one placeholder, to bound the time
        return "&".join([*map(self._pair, fields[:MAX_FORM_FIELDS]), *map(self.placeholder, more)])

    def _pair(self, pair: str, *, query: bool = False) -> str:
        name, equals, value = pair.partition("=")
        if not equals:
            return self.tokens(pair)
        lower = unquote_plus(name).strip("_").lower()
        if self.is_secret(name) or (query and lower in self.rules.query):
            return f"{name}={self.placeholder(unquote_plus(value))}" if not _PLACEHOLDER.fullmatch(value) else pair
        decoded = unquote_plus(value)
        redacted = self.string(decoded) if decoded != pair else decoded
        if redacted == decoded:
            return pair
        return f"{name}={quote(redacted, safe='/:').replace('%E2%9F%AA', '⟪').replace('%E2%9F%AB', '⟫')}"

    def url(self, text: str) -> str:
        """Redact a URL or relative reference: query, password, and long random segments of the path."""
        try:
            parts = urlsplit(text)
            credentials, at, host = parts.netloc.rpartition("@")
        except ValueError:
            return self.tokens(text)
        path = self.tokens(_LONG_SEGMENT.sub(lambda match: self.placeholder(match[0]), parts.path))
        query = "&".join(self._pair(pair, query=True) for pair in parts.query.split("&", MAX_FORM_FIELDS))
        fragment = "&".join(self._pair(pair, query=True) for pair in parts.fragment.split("&", MAX_FORM_FIELDS))
        if at:
            user, colon, password = credentials.partition(":")
            host = f"{user}{colon}{self.placeholder(password)}@{host}"
        start = f"{parts.scheme}:" if parts.scheme else ""
        start += f"//{host}" if parts.netloc else ""
        query_part = f"?{query}" if query else ""
        return f"{start}{path}{query_part}{f'#{fragment}' if fragment else ''}"

    def tokens(self, text: str) -> str:
        """Redact tokens in free text, by their format."""
        return _TOKENS.sub(lambda match: self.placeholder(match[0]), text)

    def text(self, text: str) -> str:
        """Redact free text: tokens, URLs, long random path segments, and pairs of a secret name and a value."""
        if self.has_no_secrets(text):
            return text
        redacted = self.markup(text) if "<" in text else text
        redacted = _URL.sub(lambda match: self.url(match[0]), redacted)
        redacted = _LONG_SEGMENT.sub(lambda match: self.placeholder(match[0]), redacted)
        redacted = _QUOTED_PAIR.sub(self._quoted, redacted)
        redacted = _PAIR.sub(
            lambda match: f"{match[1]}={self.placeholder(match[2])}" if self.is_secret(match[1]) else match[0], redacted
        )
        return self.tokens(redacted)

    def _quoted(self, match: re.Match[str]) -> str:
        if not self.is_secret(match[2]) or not match[4]:
            return match[0]
        start = match.start(4) - match.start()
        return f"{match[0][:start]}{self.placeholder(match[4])}{match[3]}"

    def frame(self, data: bytes) -> bytes:
        """Redact a WebSocket's text message, JSON or not; without secrets the same bytes are returned."""
        text = data.decode("utf-8", "replace")
        if self.has_no_secrets(text):
            return data
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            redacted = self.string(text)
            return data if redacted == text else redacted.encode()
        redacted_value = self.json(value)
        if redacted_value is value:
            return data
        return json.dumps(redacted_value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")
