"""Every command: where it lies, and what it is for; imported only when it is called."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Heading → name → ("module:attribute", one sentence of help), in the order of the work.
COMMANDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "See it": {
        "demo": ("orchestrator.cli.demo:demo", "See the whole of ftctl work, on real parts."),
        "ui": (
            "orchestrator.cli.ui:ui",
            "See jobs, data and reports in a browser on this machine.",
        ),
    },
    "Data": {
        "validate": (
            "orchestrator.cli.validate:validate",
            "Check a dataset before a byte is uploaded.",
        ),
        "convert": ("orchestrator.cli.data:convert", "Turn any dataset into chat JSONL."),
        "split": ("orchestrator.cli.data:split", "Cut a dataset into train, validation and test."),
        "dataset": ("orchestrator.cli.dataset:dataset", "Look into the store of datasets."),
    },
    "Train": {
        "submit": (
            "orchestrator.cli.submit:submit",
            "Validate, upload and start a fine-tuning job.",
        ),
        "status": ("orchestrator.cli.jobs:status", "Show all jobs, or one whole."),
        "events": ("orchestrator.cli.jobs:events", "Show the history of a job."),
        "sync": ("orchestrator.cli.sync:sync", "One pass over unfinished jobs; made for cron."),
        "cancel": ("orchestrator.cli.jobs:cancel", "Ask the provider to stop a job."),
        "pause": ("orchestrator.cli.jobs:pause", "Ask the provider to hold a job."),
        "resume": ("orchestrator.cli.jobs:resume", "Ask the provider to go on with a paused job."),
        "resolve": ("orchestrator.cli.jobs:resolve", "Settle a job that needs review."),
        "results": (
            "orchestrator.cli.results:results",
            "Download the tables of training metrics of a job.",
        ),
        "checkpoints": (
            "orchestrator.cli.checkpoints:checkpoints",
            "List a job's checkpoints and share them.",
        ),
        "delete": (
            "orchestrator.cli.results:delete",
            "Delete a tuned model, or a job's record, at the provider.",
        ),
        "files": ("orchestrator.cli.files:files", "List and delete files at a provider."),
    },
    "Spec files and pipelines": {
        "init": ("orchestrator.cli.spec:init", "Write a first spec file, with comments."),
        "plan": (
            "orchestrator.cli.apply:plan",
            "Say what applying a spec file would do and spend.",
        ),
        "apply": ("orchestrator.cli.apply:apply", "Do what a spec file says; again does nothing."),
        "export": ("orchestrator.cli.spec:export", "Write the spec of a job that exists."),
        "spec": ("orchestrator.cli.spec:spec", "Check a spec file; print its schema."),
    },
    "Judge": {
        "compare": ("orchestrator.cli.compare:compare", "Measure a tuned model against baselines."),
        "rows": ("orchestrator.cli.rows:rows", "Read rows that were won and lost."),
        "comparisons": ("orchestrator.cli.rows:comparisons", "List finished comparisons."),
        "record": (
            "orchestrator.cli.record:record",
            "Freeze a model's answers before it is shut down.",
        ),
        "recordings": ("orchestrator.cli.record:recordings", "List frozen answers."),
        "checklist": (
            "orchestrator.cli.checklist:checklist",
            "Ask and answer what only a person knows.",
        ),
        "report": ("orchestrator.cli.report:report", "Write the decision report of a job."),
    },
    "Serve": {
        "adapters": (
            "orchestrator.cli.adapters:adapters",
            "Keep adapters: versions, aliases, proof that they still answer.",
        ),
        "deploy": (
            "orchestrator.cli.deployments:deploy",
            "Let a tuned model answer, where it must be deployed.",
        ),
        "deployments": (
            "orchestrator.cli.deployments:deployments",
            "List what is deployed, and what it costs.",
        ),
        "undeploy": ("orchestrator.cli.deployments:undeploy", "End a deployment and its bill."),
        "worker": ("orchestrator.cli.worker:worker", "Run the self-hosted worker."),
    },
    "Leave a provider": {
        "adopt": (
            "orchestrator.cli.adopt:adopt",
            "Bring what an account had before ftctl into the ledger.",
        ),
        "evacuate": (
            "orchestrator.cli.evacuate:evacuate",
            "Plan the move of every tuned model before it stops.",
        ),
        "migrate": (
            "orchestrator.cli.migrate:migrate",
            "Make a job anew at another provider, and prepare the proof.",
        ),
    },
    "Money and dates": {
        "costs": ("orchestrator.cli.costs:costs", "Show what was spent, and what budgets leave."),
        "prices": ("orchestrator.cli.prices:prices", "List dated prices, and check them."),
        "models": (
            "orchestrator.cli.models:models",
            "Tell until when models can be trained and answer.",
        ),
    },
    "Look after": {
        "providers": ("orchestrator.cli.providers:providers", "List and check provider profiles."),
        "doctor": ("orchestrator.cli.doctor:doctor", "Look over the whole installation."),
        "cron": ("orchestrator.cli.cron:cron", "Print the line that polls for you."),
        "db": ("orchestrator.cli.db:db", "Look after the database."),
        "webhooks": (
            "orchestrator.cli.webhooks:webhooks",
            "Hear from the provider that a job has ended.",
        ),
        "notifications": (
            "orchestrator.cli.notifications:notifications",
            "Who is told when a job ends.",
        ),
        "simulator": (
            "orchestrator.cli.simulator:simulator",
            "Rehearse against a provider that costs nothing.",
        ),
    },
}
