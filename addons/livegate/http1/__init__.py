"""HTTP/1 as a library: rules for request heads, authorities, WebSocket upgrades, and refusals as values.

May import nothing of livegate. Everything here is a pure function of bytes or text, without sockets and settings.
To refuse something new, add a rule with its own slug and status, and cite the section of the RFC that it enforces.
"""
