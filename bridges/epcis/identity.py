"""PURE: what our lots, units, places and orders are called outside, and what is meant by a name.

GS1 Digital Link URIs where namespace.yaml has a key, else URIs of the plant's own domain in the
forms that CBV 2.0, 8.2 to 8.6 reserves for users: /class/, /obj/, /loc/ and /bt/.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import quote, unquote

from bridges.epcis.config import EpcisSettings
from bridges.epcis.digital_link import DOMAIN, canonical
from uns.model.made import Thing
from uns.model.plant import Plant

AI_LENGTH_MAX: Final = 20
_OF_GTIN: Final = re.compile(rf"{DOMAIN}/01/(\d{{14}})/(10|21)/(.+)")
_OF_GLN: Final = re.compile(rf"{DOMAIN}/414/(\d{{13}})")
_CLASS_ONLY: Final = re.compile(rf"{DOMAIN}/01/\d{{14}}")
_AI_TEXT: Final = re.compile(r"""[!"%&'()*+,\-./0-9:;<=>?A-Z_a-z]+""")


class Names(NamedTuple):
    """Both directions; made once."""

    base: str
    gtins: Mapping[str, str]
    items: Mapping[str, str]
    glns: Mapping[str, str]
    paths: Mapping[str, str]

    def thing(self, thing: Thing) -> str:
        """The URI of a lot (as a class) or of a unit (as an object)."""
        gtin = self.gtins.get(thing.item or "")
        if gtin and len(thing.id) <= AI_LENGTH_MAX and _AI_TEXT.fullmatch(thing.id):
            return (
                f"{DOMAIN}/01/{gtin}/{'21' if thing.is_unit else '10'}/{quote(thing.id, safe='')}"
            )
        if _is_foreign(thing.id):
            return thing.id
        return f"{self.base}/{'obj' if thing.is_unit else 'class'}/{quote(thing.id, safe='')}"

    def thing_of(self, uri: str, *, is_unit: bool) -> Thing | None:
        """What a URI names; None for a whole class, of which no lot is said.

        What is not ours keeps its URI as its id: lot numbers are unique for one GTIN only.
        """
        link = canonical(uri) or uri
        if _CLASS_ONLY.fullmatch(link):
            return None
        if (found := _OF_GTIN.fullmatch(link)) and found[1] in self.items:
            return Thing(unquote(found[3]), found[2] == "21", self.items[found[1]])
        for kind in ("obj", "class"):
            if uri.startswith(prefix := f"{self.base}/{kind}/"):
                return Thing(unquote(uri.removeprefix(prefix)), kind == "obj")
        return Thing(link, is_unit)

    def place(self, path: str) -> str:
        """The URI of a place."""
        gln = self.glns.get(path)
        return f"{DOMAIN}/414/{gln}" if gln else f"{self.base}/loc/{path}"

    def place_of(self, uri: str) -> str | None:
        """The path of a place of ours."""
        if found := _OF_GLN.fullmatch(canonical(uri) or ""):
            return self.paths.get(found[1])
        prefix = f"{self.base}/loc/"
        return uri.removeprefix(prefix) if uri.startswith(prefix) else None

    def order(self, order_id: str) -> str:
        """The URI of an order."""
        return f"{self.base}/bt/{quote(order_id, safe='')}"

    def order_of(self, uri: str) -> str:
        """The id of an order; of a foreign one, its URI."""
        prefix = f"{self.base}/bt/"
        return unquote(uri.removeprefix(prefix)) if uri.startswith(prefix) else uri


def _is_foreign(thing_id: str) -> bool:
    """An id that came to us as a URI goes out as the same."""
    return thing_id.startswith(("urn:", "http://", "https://"))


def names_of(settings: EpcisSettings, plant: Plant) -> Names:
    """The names of a plant."""
    gtins = {item: gtin.zfill(14) for item, gtin in settings.items.items()}
    return Names(
        base=f"https://{settings.domain or f'{plant.enterprise}.invalid'}",
        gtins=gtins,
        items={gtin: item for item, gtin in gtins.items()},
        glns=settings.places,
        paths={gln: path for path, gln in settings.places.items()},
    )
