"""Price tables: what apps cost, as somebody wrote it down. Nothing is known of prices otherwise.

    currency = "USD"

    [apps."fal-ai/fast-sdxl"]
    per = "inference_second"
    price = "0.00111"

    [[apps."fal-ai/flux/dev"]]
    per = "megapixel"
    price = "0.025"

JSON has the same shape. An app with several prices costs their sum. Numbers are read as the decimals
they are written as, never as binary fractions.
"""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from recorder.errors import BadQuery

Unit = Literal["request", "image", "megapixel", "inference_second", "duration_second"]

_PRICE: Final = pa.decimal128(18, 12)
_TABLE: Final = pa.schema({"app": pa.string(), "per": pa.string(), "price": _PRICE})


class Price(BaseModel):
    """The price of a unit.

    Attributes:
        per: `request`: a completed step; `image`: an image it made; `megapixel`: a million pixels of
            those; `inference_second`: what the app says it took; `duration_second`: from submit to
            finish.
        price: Of one unit, with up to 12 decimals.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    per: Unit
    price: Annotated[Decimal, Field(ge=0, max_digits=18, decimal_places=12)]


def _as_list(value: object) -> object:
    return [value] if isinstance(value, dict | Price) else value


class Prices(BaseModel):
    """A price table.

    Attributes:
        currency: What all prices are in, as it is to be shown.
        apps: Prices by exact app id.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    currency: Annotated[str, Field(min_length=1, max_length=20)]
    apps: dict[str, Annotated[list[Price], BeforeValidator(_as_list), Field(min_length=1)]]

    def as_table(self) -> pa.Table:
        """A row a price: `app`, `per`, `price`."""
        rows = [
            {"app": app, "per": price.per, "price": price.price}
            for app, prices in self.apps.items()
            for price in prices
        ]
        return pa.Table.from_pylist(rows, _TABLE)


def no_prices() -> pa.Table:
    """The table of no prices at all."""
    return _TABLE.empty_table()


def read_prices(value: object) -> object:
    """Reads a table given as JSON text; anything else is handed on to be validated.

    Raises:
        ValueError: The text is no JSON.
    """
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise ValueError("is no JSON") from None


def load_prices(path: Path) -> Prices:
    """Reads a price table from a file: TOML, or JSON where it is named so.

    Raises:
        BadQuery: It cannot be read, or is no price table.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document: Any = (
            json.loads(text, parse_float=Decimal)
            if path.suffix.lower() == ".json"
            else tomllib.loads(text, parse_float=Decimal)
        )
        return Prices.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BadQuery("prices", f"{path.name}: {place}: {first['msg'].lower()}") from None
    except OSError as error:
        raise BadQuery(
            "prices", f"{path.name}: {(error.strerror or 'unreadable').lower()}"
        ) from None
    except (ValueError, RecursionError) as error:
        raise BadQuery("prices", f"{path.name} is neither TOML nor JSON: {error}") from None


GivenPrices = Annotated[Prices | None, BeforeValidator(read_prices)]
"""A price table in a question, as JSON text or whole."""
