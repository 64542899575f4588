"""What is asked of the host behind a profile or a job: its abilities, its doors, its adapters."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from orchestrator.domain.errors import MissingCredentials

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.config import Settings
    from orchestrator.domain.adapters.ports import AdapterRepo
    from orchestrator.domain.jobs.job import Job
    from orchestrator.domain.profile import Profile
    from orchestrator.domain.provider import Capabilities
    from orchestrator.usecases.adapters.serving import AdapterServer
    from orchestrator.usecases.jobs.intent import Intent
    from orchestrator.wiring import App


def capabilities(profile: Profile) -> Capabilities:
    """What a profile's provider can do; asked without its key, for rehearsals.

    Raises:
        ConfigurationError: there is no such kind.
    """
    import providers

    # A dry run needs neither key nor address: nothing is sent.
    rehearsal = replace(
        profile,
        api_key=profile.api_key or "rehearsal",
        base_url=profile.base_url or (None if profile.embedded else "https://rehearsal.invalid/v1"),
    )
    with contextlib.closing(providers.build(rehearsal)) as provider:
        return provider.capabilities


def adapter_repo(settings: Settings, folder: Path | None = None) -> AdapterRepo:
    """The repository of adapters that the settings name, or the one in a folder."""
    where = settings.adapters()
    if (place := folder or where.folder) is not None:
        from orchestrator.store.adapter_folder import FolderRepo

        return FolderRepo(place.absolute())
    from providers.adapter_hub import HUB, HubRepo

    return HubRepo(
        name=where.repo.removeprefix("hf://"),
        cache=settings.home / "hub",
        endpoint=where.endpoint or HUB,
        token=where.token,
    )


def vllm_server(application: App, url: str, key_env: str | None) -> AdapterServer:
    """A vLLM server that may be told which adapters to hold.

    Raises:
        MissingCredentials: the variable for its key is not set.
        ConfigurationError: the key must not go to that address.
    """
    from providers.vllm import VllmServer

    key = application.settings.environment.get(key_env, "").strip() if key_env else ""
    if key_env and not key:
        raise MissingCredentials(f"{key_env} is not set.", hint=f"export {key_env}=...")
    return VllmServer(url, key or None)


def capabilities_of(application: App, job: Job) -> Capabilities:
    """What a job's provider can do, also when its profile was taken away since."""
    from orchestrator.domain.profile import Profile

    settings = application.settings
    if job.provider in settings.profile_names():
        return capabilities(settings.profile(job.provider))
    return capabilities(Profile(name=job.provider, kind=job.kind, home=settings.home))


def refuse_closed(application: App, profile: Profile) -> None:
    """Refuse where the account is known to be closed; without its key that cannot be known.

    Raises:
        AnswerIsNo: the provider has refused the account before, and not accepted it since.
    """
    from orchestrator.usecases.jobs.lifetimes import refuse_closed as refuse

    lifecycle = application.lifecycle
    if profile.kind in lifecycle.closed_codes and profile.api_key and application.has_ledger:
        refuse(
            lifecycle,
            application.jobs,
            kind=profile.kind,
            account=application.provider(profile.name).account,
            today=application.clock.now().date(),
        )


def rehearse_budget(application: App, intent: Intent) -> None:
    """A rehearsal reads the ledger only where a budget asks for it.

    Raises:
        BudgetExceeded, Unpriced: to record the intent would be refused.
    """
    from orchestrator.usecases.jobs.funding import refuse_over_budget

    budgets = application.settings.budgets()
    if budgets.covers(intent.provider):
        refuse_over_budget(intent, application.spendings, budgets, application.clock.now())


def export_merged(application: App, adapter: Path, base: str, out: Path, *, gguf: bool) -> None:
    """Merge an adapter into its base model, in a process of the worker's package.

    Raises:
        MissingExtra: that is not installed.
        AnswerIsNo: the two do not fit, or the format cannot say this model.
    """
    from providers.embedded import export_merged as export

    export(adapter, base, out, gguf=gguf, cache=application.settings.home / "worker")
