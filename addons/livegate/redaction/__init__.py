"""Redaction: replaces secrets by placeholders, decodes bodies up to a limit, and escapes text for terminals.

Imports mitmproxy's public `http` only. A new kind of token goes into `redactor._TOKENS`, a new secret header field into
`http._SECRET_FIELDS`, a new word of secret names into `redactor.SECRET_FIELDS`.
"""
