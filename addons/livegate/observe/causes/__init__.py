"""Why a request was refused or a socket closed, in words, and what to do. What frames show is in `phoenix.incidents`.

One small pure rule for each cause, by subject; docs/causes.md lists them. A rule has evidence for each word it says:
where two stories fit, a cause is found only if none of them is ordinary use. Sources of what a code or reason means:
RFC 6455 section 7.4, phoenix.js 1.7 and 1.8, LiveView 0.18 to 1.2, Cowboy 2 and Bandit 1.
"""

from livegate.observe.causes import refusals, sockets, upgrades
from livegate.observe.causes.case import Case, Cause, Rule

__all__ = ["RULES", "Case", "Cause", "Rule", "causes_of", "slug_of"]

RULES: tuple[Rule, ...] = (*refusals.RULES, *upgrades.RULES, *sockets.RULES)


def causes_of(case: Case) -> list[Cause]:
    """All causes that are found; none for what is well."""
    return [cause for each in RULES if (cause := each(case)) is not None]


def slug_of(rule: Rule) -> str:
    """The slug of the causes that a rule finds; it does not change."""
    return rule.__name__.replace("_", "-")
