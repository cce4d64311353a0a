"""Rules that explain why a request was refused or a socket closed, and what to do. `phoenix.incidents` explains frames.

To add a cause, add a function with `@rule` to the module of its subject, a row to docs/reference/causes.md, and cases
to the tests. A rule needs evidence for each of its words. Where two explanations fit and one is ordinary use, it
returns None. Sources: RFC 6455 section 7.4, phoenix.js 1.7 and 1.8, LiveView 0.18 to 1.2, Cowboy 2 and Bandit 1.
"""

from livegate.observe.causes import refusals, sockets, upgrades
from livegate.observe.causes.case import Case, Cause, Rule

__all__ = ["RULES", "Case", "Cause", "Rule", "causes_of", "slug_of"]

RULES: tuple[Rule, ...] = (*refusals.RULES, *upgrades.RULES, *sockets.RULES)


def causes_of(case: Case) -> list[Cause]:
    """Return all causes for which there is evidence; none for ordinary use."""
    return [cause for each in RULES if (cause := each(case)) is not None]


def slug_of(rule: Rule) -> str:
    """Return the slug of a rule's cause, which is public and does not change."""
    return rule.__name__.replace("_", "-")
