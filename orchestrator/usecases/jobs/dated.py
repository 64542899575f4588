"""The newest dated data files: prices, retirements, hosting, limits, and the checklist."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from orchestrator.domain.deciding.checklist import Checklist
from orchestrator.domain.jobs.lifecycle import Lifecycle
from orchestrator.domain.money.prices import PriceBook
from orchestrator.domain.money.tariff import Tiers
from orchestrator.resources import data
from orchestrator.usecases.jobs.request_limits import RequestLimits

if TYPE_CHECKING:
    from pathlib import Path


def newest_prices() -> PriceBook:
    """The newest price file that ships with ftctl."""
    return PriceBook.from_json(*_read(_newest("prices")))


def newest_lifecycle() -> Lifecycle:
    """The newest retirement file that ships with ftctl."""
    return Lifecycle.from_json(*_read(_newest("lifecycle")))


def newest_request_limits(kind: str) -> RequestLimits:
    """What that kind of provider takes in a request, by the newest limits file."""
    return RequestLimits.of(_read(_newest("limits"))[0], kind)


def newest_tiers(provider: str) -> Tiers:
    """How a provider bills deployments, by the newest file that ships with ftctl."""
    return Tiers.from_json(_read(_newest("hosting"))[0], provider)


def default_checklist(stage: str = "after_run") -> Checklist:
    """The checklist that ships with ftctl, for one stage."""
    plain, digest = _read(_newest("checklist"))
    return Checklist.from_json(plain, stage=stage, digest=digest)


def _newest(name: str) -> Path:
    # The names end in a date or a number, so that the last one in order is the newest.
    return max(data("").glob(f"{name}.*.json"))


def _read(path: Path) -> tuple[dict[str, Any], str]:
    content = path.read_bytes()
    return json.loads(content), hashlib.sha256(content).hexdigest()
