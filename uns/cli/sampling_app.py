"""`uns sampling`: the plan of a lot after ISO 2859-1 / ANSI/ASQ Z1.4, and its OC curve.

Owns options and what is printed. The tables are uns.model.sampling's.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Final

import typer

from uns.cli.errors import UsageError
from uns.cli.options import Json
from uns.cli.output import print_json, print_table, say
from uns.model.sampling.oc import (
    PER_CENT_MAX,
    Distribution,
    binomial,
    hypergeometric,
    poisson,
    quality_at,
    usual,
)
from uns.model.sampling.plans import LOT_MIN, SinglePlan, aql_named, code_letter, single_plan
from uns.model.sampling.tables import AQLS, Level, Severity

sampling_app = typer.Typer(help="Sampling by attributes.", rich_markup_mode=None)

SHOWN: Final = (0.99, 0.95, 0.90, 0.75, 0.50, 0.25, 0.10, 0.05, 0.01)
"""Probabilities of acceptance whose quality is shown, as the standards do."""
DIGITS: Final = 6
LOT_MAX: Final = 100_000_000

WORST: Final[dict[Distribution, float]] = {"binomial": 1.0, "hypergeometric": 1.0, "poisson": 100.0}
"""Where the search for a quality ends: all items, or 100 nonconformities each."""

Curve = Callable[[float], float]


@sampling_app.command("plan", epilog="Example: uns sampling plan --lot 1200 --level II --aql 0.65")
def plan(  # noqa: PLR0913 - the options of the command, each with its default
    *,
    lot: Annotated[int, typer.Option(min=LOT_MIN, max=LOT_MAX, help="Items in the lot.")],
    aql: Annotated[str, typer.Option(help="Acceptance quality limit: 0.010 to 1000.")],
    level: Annotated[Level, typer.Option(help="Inspection level.")] = "II",
    state: Annotated[Severity, typer.Option(help="How severe inspection is now.")] = "normal",
    distribution: Annotated[
        Distribution | None,
        typer.Option(help="Of the nonconforming (default: binomial; above AQL 10 poisson)."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print a lot's plan and its OC curve. How many to inspect, and with how many bad to accept."""
    known = aql_named(aql)
    if known is None:
        raise UsageError(f"no AQL {aql!r}: use one of {', '.join(AQLS)}")
    letter = code_letter(lot, level)
    found = single_plan(letter, known, state)
    kind = distribution or usual(float(known))
    if kind != "poisson" and float(known) > PER_CENT_MAX:
        raise UsageError(f"AQL {known} is of nonconformities per 100 items: that is poisson")
    document = _document(lot, letter, found, kind)
    if as_json:
        print_json(document)
    else:
        _print(document, found, letter)


def _document(lot: int, letter: str, found: SinglePlan, kind: Distribution) -> dict[str, Any]:
    size, curve, worst = found.size_for(lot), _curve(lot, found, kind), WORST[kind]
    return {
        "lot": lot,
        "code_letter": letter,
        "plan_letter": found.letter,
        "state": found.severity,
        "aql": found.aql,
        "size": size,
        "all": size == lot,
        "accept": found.accept,
        "reject": found.reject,
        "distribution": kind,
        "accepted_at_aql": round(curve(float(found.aql) / 100), DIGITS),
        "curve": [
            {"accepted": chance, "percent": round(100 * quality_at(chance, curve, worst), DIGITS)}
            for chance in SHOWN
        ],
    }


def _curve(lot: int, found: SinglePlan, kind: Distribution) -> Curve:
    size, accept = found.size_for(lot), found.reject - 1
    if kind == "hypergeometric":
        return lambda fraction: hypergeometric(size, accept, lot, round(fraction * lot))
    return partial({"binomial": binomial, "poisson": poisson}[kind], size, accept)


def _print(document: dict[str, Any], found: SinglePlan, letter: str) -> None:
    led = "" if found.letter == letter else f", by arrows to {found.letter}"
    much = "all" if document["all"] else document["size"]
    say(f"{found.severity} inspection at AQL {found.aql}, code letter {letter}{led}")
    say(f"inspect {much} of {document['lot']}, accept with {found.accept}, not with {found.reject}")
    if found.reject > found.accept + 1:
        say("in between: accept, and inspect the next lot normally")
    say(f"at the AQL {document['accepted_at_aql']:.6f} of lots are accepted")
    unit = "per 100 items" if document["distribution"] == "poisson" else "% nonconforming"
    points = [(f"{p['accepted']:.2f}", f"{p['percent']:.6g}") for p in document["curve"]]
    print_table(("accepted", unit), points)
