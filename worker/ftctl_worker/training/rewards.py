"""Learning from rewards: several answers to each prompt, and more of what was better than the rest.

The loss is that of GRPO (Shao et al., "DeepSeekMath", 2024) with its choices for one step per
sample: the advantage of an answer is its reward against those of the same prompt, in standard
deviations, and every token of all answers weighs the same (Yu et al., "DAPO", 2025). There is no
term that holds the model near its base: the adapter starts there, and few small steps are taken.

Where answers have to have a form, nothing is learned from tokens that the form alone decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ftctl_worker.errors import GraderFailedError
from ftctl_worker.graders.grader import GradingError, fields_of
from ftctl_worker.training.objective import StepResult
from ftctl_worker.training.rendering import Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ftctl_worker.graders.grader import Grader
    from ftctl_worker.hyperparameters import Exploration
    from ftctl_worker.training.forward import Forward
    from ftctl_worker.training.objective import Passes
    from ftctl_worker.training.sampling import Sampler

__all__ = ["Prompt", "RewardResult", "Rewards", "advantages", "none_graded"]

_LEAST_DEVIATION = 1e-6
_EVALUATION_SEED = 20_240_205


@dataclass(frozen=True)
class Prompt:
    """Token ids up to where the answer begins, and the row for the grader.

    ``form`` is the grammar of its answers, where they have to have one.
    """

    ids: list[int]
    item: Mapping[str, Any]
    form: str | None = None


@dataclass(frozen=True)
class RewardResult(StepResult):
    """What one step saw of its answers: rewards, lengths, and what could not be graded."""

    more: Mapping[str, float]

    @property
    def metrics(self) -> dict[str, float]:
        """What is reported of it."""
        return {"train_loss": round(self.loss, 6), **self.more}


class Rewards:
    """Learns the answers that a grader prefers."""

    def __init__(
        self,
        prompts: Sequence[Prompt],
        sampler: Sampler,
        forward: Forward,
        passes: Passes,
        *,
        grader: Grader,
        exploration: Exploration,
    ) -> None:
        """Learn to answer ``prompts``."""
        self.rows = [Row(prompt.ids, [False] * len(prompt.ids)) for prompt in prompts]
        self._prompts = prompts
        self._sampler = sampler
        self._forward = forward
        self._passes = passes
        self._grader = grader
        self._exploration = exploration

    def learn(self, numbers: Sequence[int]) -> RewardResult:
        """Answer some prompts, and add the gradients of the loss per answered token.

        Raises:
            GraderFailedError: none of the answers could be graded.
        """
        some = [self._prompts[number] for number in numbers]
        rows, rewards = self._rollouts(some, self._exploration.samples)
        learned = max(1, sum(sum(row.learned) for row in rows))
        weights = advantages(rewards).flatten() / learned
        loss = self._descend(rows, weights)
        graded = rewards[~rewards.isnan()]
        asked = self._exploration.samples * sum(len(prompt.ids) for prompt in some)
        answered = sum(len(row.ids) for row in rows) - asked
        return RewardResult(
            loss=loss,
            accuracy=0.0,
            tokens=sum(len(row.ids) for row in rows),
            more={
                "train_reward_mean": round(float(graded.mean()), 6),
                "train_reward_std": round(float(graded.std(correction=0)), 6),
                "completion_tokens_mean": round(answered / len(rows), 3),
                "ungraded_share": round(1 - len(graded) / rewards.numel(), 6),
            },
        )

    @torch.no_grad()
    def evaluate(self) -> dict[str, float]:
        """Return the mean reward over all prompts; the validation loss is the reward's negative.

        One answer to a prompt is the most likely one; several are drawn, from the same seed each
        time.
        """
        samples = self._exploration.eval_samples
        with torch.random.fork_rng():
            torch.manual_seed(_EVALUATION_SEED)
            _, rewards = self._rollouts(self._prompts, samples, greedy=samples == 1)
        mean = round(float(rewards.nanmean()), 6)
        return {"valid_reward_mean": mean, "valid_loss": 0.0 - mean, "full_valid_loss": 0.0 - mean}

    def _rollouts(
        self, prompts: Sequence[Prompt], samples: int, *, greedy: bool = False
    ) -> tuple[list[Row], torch.Tensor]:
        """Return an answered row per sample, and rewards of shape (prompts, samples)."""
        asked = [prompt for prompt in prompts for _ in range(samples)]
        answers = self._sampler(
            [prompt.ids for prompt in asked], [prompt.form for prompt in asked], greedy=greedy
        )
        rows = [
            Row([*prompt.ids, *answer.ids], [False] * len(prompt.ids) + answer.chosen)
            for prompt, answer in zip(asked, answers, strict=True)
        ]
        rewards = self._grade(asked, self._sampler.texts(answers))
        return rows, torch.tensor(rewards).view(len(prompts), samples)

    def _grade(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        """Return a reward per answer, NaN where there is none."""
        rewards: list[float] = []
        why: GradingError | None = None
        for prompt, answer in zip(prompts, answers, strict=True):
            try:
                rewards.append(self._grader.grade(fields_of(answer, prompt.item)).reward)
            except GradingError as error:
                why = error
                rewards.append(float("nan"))
        if why is not None and all(reward != reward for reward in rewards):  # noqa: PLR0124
            raise none_graded(self._grader, len(rewards), why) from why
        return rewards

    def _descend(self, rows: Sequence[Row], weights: torch.Tensor) -> float:
        """Add the gradients of the weighted likelihoods, and return the loss."""
        order = [at for at in range(len(rows)) if weights[at] != 0]
        order.sort(key=lambda at: len(rows[at].ids), reverse=True)
        loss, done = 0.0, 0
        for batch in self._passes.of([rows[at] for at in order]):
            likelihoods = self._forward.log_likelihoods(batch)
            mine = weights[order[done : done + len(likelihoods)]].to(likelihoods.device)
            part = -(mine * likelihoods).sum()
            part.backward()
            loss += float(part.detach())
            done += len(likelihoods)
        return loss


def none_graded(grader: Grader, answers: int, why: GradingError) -> GraderFailedError:
    """Return the error of a step whose answers got no reward at all, with the last reason."""
    return GraderFailedError(f"The grader '{grader.name}' graded none of {answers} answers: {why}")


def advantages(rewards: torch.Tensor) -> torch.Tensor:
    """Return how much better each answer is than the others to its prompt, in deviations.

    Args:
        rewards: of shape (prompts, samples), NaN where an answer could not be graded; such an
            answer has the advantage 0, as have answers that are all alike.
    """
    graded = ~rewards.isnan()
    count = graded.sum(1, keepdim=True).clamp(min=1)
    values = rewards.nan_to_num()
    mean = values.sum(1, keepdim=True) / count
    away = torch.where(graded, values - mean, 0.0)
    deviation = (away.square().sum(1, keepdim=True) / count).sqrt()
    return torch.where(deviation > _LEAST_DEVIATION, away / deviation.clamp(min=1e-12), 0.0)
