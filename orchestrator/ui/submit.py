"""Submit a job in two steps: the form, then the plan with its cost; nothing is sent before the yes."""

from __future__ import annotations

import hashlib
import json
import math
from typing import TYPE_CHECKING, Any

from orchestrator.domain.errors import ConfigurationError, DatasetInvalid, FtctlError, UsageError
from orchestrator.domain.jobs.job import Hyperparameters, Method
from orchestrator.domain.jobs.lifecycle import ANYTHING
from orchestrator.domain.money.usd import micros, money
from orchestrator.ui.layout import field, hidden_fields, link, note, page, redirect, select
from orchestrator.ui.markup import h

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.web import WebResponse
    from orchestrator.ui.desk import Visit
    from orchestrator.ui.markup import Child, Html
    from orchestrator.usecases.jobs.intent import Intent
    from orchestrator.usecases.jobs.plan import Plan, Request

FIELDS = (
    "training", "validation", "provider", "model", "method", "epochs", "batch_size",
    "learning_rate_multiplier", "suffix", "seed", "max_cost", "allow_unpriced",
)  # fmt: skip
_MOST_MODELS = 100
_LONGEST_NUMBER = 20
_AGAIN = "Submit although the same training ran within a day, or the account was refused"


def show_form(visit: Visit) -> WebResponse:
    """Step one: what is wanted."""
    defaults = visit.app.settings.table("defaults")
    values = {name: visit.asked(name) for name in FIELDS}
    for name in ("provider", "model"):
        values[name] = values[name] or str(defaults.get(name, ""))
    return page("Submit a job", _form(visit, values), here="/submit")


def show_plan(visit: Visit) -> WebResponse:
    """Step two: what would be done and what it would cost."""
    values = _values(visit)
    try:
        request = _request(visit, values)
        with _planned(visit, request) as plan:
            return _plan_page(visit, plan, values, again=visit.given("again") == "yes")
    except FtctlError as error:
        return _again(visit, values, error)


def confirm(visit: Visit) -> WebResponse:
    """The yes: the intent is written down, then sent; the same form twice makes one job."""
    values = _values(visit)
    try:
        job_id = visit.desk.once.use(visit.given("once"), lambda: _submitted(visit, values).id)
    except _Changed as changed:
        return changed.page
    except FtctlError as error:
        return _again(visit, values, error)
    return redirect(f"/jobs/{job_id}")


class _Changed(Exception):
    """What was confirmed is not what would be done now."""

    def __init__(self, page_: WebResponse) -> None:
        super().__init__()
        self.page = page_


def _submitted(visit: Visit, values: Mapping[str, str]) -> Job:
    from orchestrator import wiring
    from orchestrator.usecases.comparing.allowance import release_dead
    from orchestrator.usecases.jobs.submit import record

    app, request = visit.app, _request(visit, values)
    again = visit.given("again") == "yes"
    with _planned(visit, request) as plan:
        if visit.given("plan") != _print(plan, values):
            why = note(
                "The data or its price has changed since you saw the plan. This is the new one."
            )
            raise _Changed(_plan_page(visit, plan, values, again=again, why=why))
        if not again:
            wiring.refuse_closed(app, request.profile)
        provider = app.provider(request.profile.name)
        release_dead(app.vault())
        intent = _intent(plan, values, provider.account)
        job = record(intent, app.ledger(), again=again)
    visit.desk.errands.send(job)
    return job


def _intent(plan: Plan, values: Mapping[str, str], account: str) -> Intent:
    """What is to be recorded.

    Raises:
        TooDear, Unpriced: it may cost more than was allowed.
    """
    most, allowed = _number(values, "max_cost", float), values["allow_unpriced"] == "yes"
    limit = None if most is None else micros(most)
    plan.estimate.must_not_exceed(limit, allow_unpriced=allowed)
    return plan.intent(account, max_cost=limit, allow_unpriced=allowed)


def _planned(visit: Visit, request: Request) -> Any:
    from orchestrator import wiring
    from orchestrator.usecases.jobs.plan import plan

    app = visit.app
    able = wiring.capabilities(request.profile)
    return plan(
        request, able, app.prices, visit.lifecycle, app.clock.now(), drafts=app.drafts.folder
    )


def _plan_page(
    visit: Visit, plan: Plan, values: Mapping[str, str], *, again: bool, why: Child = None
) -> WebResponse:
    from orchestrator import wiring

    wiring.rehearse_budget(visit.app, _intent(plan, values, ""))
    refused: FtctlError | None = None
    try:
        wiring.refuse_closed(visit.app, plan.request.profile)
    except FtctlError as error:
        refused = error
    label = "Submit"
    if plan.costs_money:
        estimate = plan.estimate
        known = estimate.likely if estimate.likely is not None else estimate.high
        label = "Submit, whatever it costs" if known is None else f"Submit for about {money(known)}"
    hidden = {
        **values,
        "mark": visit.mark,
        "once": visit.desk.once.issue(),
        "plan": _print(plan, values),
    }
    first, *rest = plan.lines()
    return page(
        "Is this what you want?",
        why,
        _error(refused) if refused else None,
        h("p", h("strong", first.strip())),
        h("ul", [h("li", line.strip()) for line in rest]),
        h(
            "p",
            link(
                "Read the rows as the model will",
                "/data",
                file=values["training"],
                target=plan.request.profile.kind,
            ),
        ),
        h(
            "form",
            hidden_fields(hidden),
            h("p", _box("again", _AGAIN, checked=again)),
            h(
                "div",
                h("button", label, type="submit", class_="main"),
                link("Change it", "/submit", **values),
                class_="actions",
            ),
            method="post",
            action="/submit/confirm",
        ),
        h("p", "Nothing was sent or written yet.", class_="dim"),
        here="/submit",
    )


def _box(name: str, label: str, *, checked: bool) -> Html:
    box = h("input", type="checkbox", name=name, value="yes", checked=checked)
    return h("label", box, label, class_="check")


def _print(plan: Plan, values: Mapping[str, str]) -> str:
    """What was shown, in one word: the fields, the bytes, the passes and the price."""
    validation = plan.validation.dataset.digest if plan.validation else None
    shown = [
        *(values[name] for name in FIELDS),
        plan.training.dataset.digest,
        validation,
        plan.epochs,
        *plan.estimate.as_json().values(),
        plan.billed,
    ]
    return hashlib.sha256(json.dumps(shown).encode()).hexdigest()


def _again(visit: Visit, values: Mapping[str, str], error: FtctlError) -> WebResponse:
    """The form once more, with what is wrong and what was filled in."""
    return page(
        "Submit a job",
        _error(error, values, visit),
        _form(visit, values),
        here="/submit",
        status=422,
    )


def _error(
    error: FtctlError, values: Mapping[str, str] | None = None, visit: Visit | None = None
) -> Html:
    more: Child = None
    if isinstance(error, DatasetInvalid) and values and visit:
        more = h(
            "p",
            link(
                "Every finding, row by row",
                "/data",
                file=values["training"],
                target=_kind(visit, values),
                method=values["method"],
            ),
        )
    hint = h("p", "Try: ", h("code", error.hint)) if error.hint else None
    return note(h("p", h("strong", error.message)), hint, more, look="bad")


def _kind(visit: Visit, values: Mapping[str, str]) -> str:
    try:
        return visit.app.settings.profile(values["provider"]).kind
    except ConfigurationError:
        return "openai"


def _values(visit: Visit) -> dict[str, str]:
    return {name: visit.given(name) for name in FIELDS}


def _request(visit: Visit, values: Mapping[str, str]) -> Request:
    from orchestrator.usecases.jobs.plan import Request

    for name in ("training", "provider", "model"):
        if not values[name]:
            raise UsageError(f"Which {name}? None was named.")
    files = visit.desk.files
    if values["method"] not in set(Method):
        raise UsageError(f"There is no method '{values['method'][:40]}'.")
    return Request(
        profile=visit.app.settings.profile(values["provider"]),
        model=values["model"],
        training=files.find(values["training"]),
        validation=files.find(values["validation"]) if values["validation"] else None,
        method=Method(values["method"]),
        hyperparameters=Hyperparameters(
            n_epochs=_number(values, "epochs", int),
            batch_size=_number(values, "batch_size", int),
            learning_rate_multiplier=_number(values, "learning_rate_multiplier", float),
        ),
        suffix=values["suffix"] or None,
        seed=_number(values, "seed", int),
    )


def _number(values: Mapping[str, str], name: str, kind: Callable[[str], Any]) -> Any:
    """What was filled in, if anything; which numbers are good is the plan's to say."""
    try:
        number = kind(values[name][:_LONGEST_NUMBER]) if values[name] else None
    except ValueError:
        number = math.nan
    if number is not None and not math.isfinite(number):
        raise UsageError(f"{name.replace('_', ' ')}: '{values[name][:40]}' is no number.")
    return number


def _form(visit: Visit, values: Mapping[str, str]) -> Html:
    app = visit.app
    profiles = {"": "choose one"} | {name: name for name in app.settings.profile_names()}
    methods = {str(each): str(each) for each in Method}
    names = [found.name for found in visit.desk.files.all()]
    folder = str(visit.desk.files.folder)
    return h(
        "form",
        hidden_fields({"mark": visit.mark}),
        field("Training data", "training", value=values["training"], required=True, list="files",
              help_=f"a file in {folder}, by its name there"),
        field("Validation data", "validation", value=values["validation"], list="files",
              help_="rows on which training is measured; may stay empty"),
        select("Provider", "provider", profiles, values["provider"]),
        field("Base model", "model", value=values["model"], required=True, list="models",
              help_="tiny, smollm2, a Hub id, or a provider's model"),
        select("Method", "method", methods, values["method"] or str(Method.SUPERVISED)),
        field("Epochs", "epochs", value=values["epochs"], inputmode="numeric",
              help_="passes over the data; empty: the provider chooses"),
        field("Batch size", "batch_size", value=values["batch_size"], inputmode="numeric",
              help_="empty: the provider chooses"),
        field("Learning rate multiplier", "learning_rate_multiplier",
              value=values["learning_rate_multiplier"], inputmode="decimal",
              help_="empty: the provider chooses"),
        field("Suffix", "suffix", value=values["suffix"], help_="goes into the tuned model's name"),
        field("Most it may cost", "max_cost", value=values["max_cost"], inputmode="decimal",
              help_="US dollars; more than that is not submitted"),
        field("Seed", "seed", value=values["seed"], inputmode="numeric",
              help_="same data and seed, same result"),
        h("div", _box("allow_unpriced", "Submit although nobody knows what it may cost",
                      checked=values["allow_unpriced"] == "yes"), class_="whole"),
        h("div", h("button", "Check and price it", type="submit", class_="main"), class_="whole"),
        _options("files", names),
        _options("models", _models(visit)),
        method="post",
        action="/submit/plan",
        class_="fields",
    )  # fmt: skip


def _options(name: str, values: list[str]) -> Html:
    return h("datalist", [h("option", value=value) for value in values], id=name)


def _models(visit: Visit) -> list[str]:
    today = visit.app.clock.now().date()
    known = {each.provider for each in visit.app.listed_lifecycle.models}
    found = [
        row.model
        for provider in sorted(known)
        for row in visit.app.listed_lifecycle.trainable(provider, today)
    ]
    named = dict.fromkeys(["tiny", "smollm2", *found])
    return [model for model in named if model != ANYTHING][:_MOST_MODELS]
