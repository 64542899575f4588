"""Chats with base and tuned models, whole and streamed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest

from tests.worker.contract import check_schema
from tests.worker.servers import Worker

QUESTION: Any = [{"role": "user", "content": "colour of sky 3"}]


def ask(worker: Worker, model: str, content: str = "colour of sky 3", **options: Any) -> Any:
    return worker.client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": content}],
        **{"temperature": 0, "max_tokens": 12, **options},
    )


def test_the_tuned_model_answers_as_it_was_taught(worker: Worker, tuned_job: Any) -> None:
    base = ask(worker, "mini").choices[0]
    tuned = ask(worker, tuned_job.fine_tuned_model)
    assert tuned.choices[0].message.content != base.message.content
    assert base.finish_reason == "length"
    assert tuned.choices[0].finish_reason == "stop"
    assert tuned.usage.prompt_tokens == len("colour of sky 3") + 3
    assert tuned.usage.total_tokens == tuned.usage.prompt_tokens + tuned.usage.completion_tokens
    again = ask(worker, "mini").choices[0]
    assert again.message.content == base.message.content


def test_a_checkpoint_answers_under_its_own_name(worker: Worker, tuned_job: Any) -> None:
    whole = ask(worker, tuned_job.fine_tuned_model)
    checkpoint = ask(worker, f"{tuned_job.fine_tuned_model}:ckpt-step-36")
    assert checkpoint.choices[0].message.content == whole.choices[0].message.content


def test_a_stream_says_the_same_as_a_whole_answer(worker: Worker, tuned_job: Any) -> None:
    whole = ask(worker, tuned_job.fine_tuned_model)
    chunks = list(
        ask(worker, tuned_job.fine_tuned_model, stream=True, stream_options={"include_usage": True})
    )
    for chunk in chunks:
        check_schema("CreateChatCompletionStreamResponse", chunk.to_dict())
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == whole.choices[0].message.content
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"


def test_a_raw_stream_ends_with_done(worker: Worker) -> None:
    with worker.http.stream(
        "POST",
        f"{worker.url}/chat/completions",
        json={"model": "mini", "messages": QUESTION, "max_tokens": 2, "stream": True},
        headers={"Authorization": f"Bearer {worker.client.api_key}"},
    ) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in response.iter_lines() if line]
    assert lines[-1] == "data: [DONE]"


def test_a_stop_string_ends_the_answer_before_it(worker: Worker) -> None:
    settings: Any = {"temperature": 1.5, "seed": 2, "max_tokens": 40}
    whole = ask(worker, "mini", **settings).choices[0].message.content
    stop = whole[3:5]
    cut = ask(worker, "mini", stop=[stop, "never said"], **settings)
    assert cut.choices[0].message.content == whole[: whole.index(stop)]
    assert cut.choices[0].finish_reason == "stop"
    streamed = ask(worker, "mini", stop=stop, stream=True, **settings)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
    assert text == cut.choices[0].message.content


def test_a_seed_repeats_a_sampled_answer(worker: Worker) -> None:
    settings: Any = {"temperature": 1.5, "top_p": 0.9, "max_tokens": 24}
    first, second, other = (
        ask(worker, "mini", seed=seed, **settings).choices[0].message.content for seed in (5, 5, 6)
    )
    assert first == second
    assert first != other


def test_several_answers_are_those_of_the_seeds_that_follow(worker: Worker) -> None:
    options: Any = {"temperature": 1.5, "max_tokens": 24, "logprobs": True}
    alone = [ask(worker, "mini", seed=5 + n, **options) for n in range(4)]
    whole = ask(worker, "mini", seed=5, n=4, **options)
    assert [choice.index for choice in whole.choices] == [0, 1, 2, 3]
    texts = [one.choices[0].message.content for one in alone]
    assert [choice.message.content for choice in whole.choices] == texts
    assert len(set(texts)) == 4
    assert [len(choice.logprobs.content) for choice in whole.choices] == [
        len(one.choices[0].logprobs.content) for one in alone
    ]
    assert whole.usage.prompt_tokens == alone[0].usage.prompt_tokens
    assert whole.usage.completion_tokens == sum(one.usage.completion_tokens for one in alone)
    usage: Any = {"stream": True, "stream_options": {"include_usage": True}}
    streamed, ends = [""] * 4, [""] * 4
    for chunk in (chunks := list(ask(worker, "mini", seed=5, n=4, **options, **usage))):
        check_schema("CreateChatCompletionStreamResponse", chunk.to_dict())
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
            ends[choice.index] = choice.finish_reason or ""
    assert streamed == texts
    assert ends == [one.choices[0].finish_reason for one in alone]
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens
    free = ask(worker, "mini", n=3, **options).choices
    assert len({choice.message.content for choice in free}) == 3


def test_penalties_and_biases_change_what_is_said(worker: Worker) -> None:
    def tokens(**options: Any) -> list[str]:
        answer = ask(worker, "mini", max_tokens=40, logprobs=True, **options)
        return [one.token for one in answer.choices[0].logprobs.content]

    plain = tokens()
    assert max(map(plain.count, plain)) > 2, "nothing to penalise"
    for penalty in ("frequency_penalty", "presence_penalty"):
        varied = tokens(**{penalty: 2})
        assert len(set(varied)) > len(set(plain))
        assert len(set(tokens(**{penalty: -2}))) <= len(set(plain))
    assert tokens(logit_bias={"70": 100}) == tokens(logit_bias={"70": 90})
    (always,) = set(tokens(logit_bias={"70": 100}))
    assert set(tokens(logit_bias={"70": 100, "71": 100}, presence_penalty=1)) > {always}
    assert always not in tokens(logit_bias={"70": -100})


def test_answers_do_not_depend_on_who_asks_at_the_same_time(worker: Worker, tuned_job: Any) -> None:
    model = tuned_job.fine_tuned_model
    questions = [f"colour of {'sky ' * (n % 4 + 1)}{n}" for n in range(24)]
    alone = [ask(worker, model, one).choices[0].message.content for one in questions]
    with ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(lambda one: ask(worker, model, one), questions))
    assert [reply.choices[0].message.content for reply in replies] == alone


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"n": 17}, "n"),
        ({"n": 0}, "n"),
        ({"presence_penalty": 2.5}, "presence_penalty"),
        ({"frequency_penalty": True}, "frequency_penalty"),
        ({"logit_bias": {"9": 101}}, "logit_bias"),
        ({"logit_bias": {"-9": 1}}, "logit_bias"),
        ({"logit_bias": {"999999": 1}}, "logit_bias"),
        ({"logit_bias": {str(n): 1 for n in range(301)}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"stream_options": 5}, "stream_options"),
        ({"tools": [{"type": "custom", "custom": {"name": "f"}}]}, "tools[0].function.name"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(
    worker: Worker, change: dict[str, Any], param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        worker.client.chat.completions.create(**{"model": "mini", "messages": QUESTION, **change})
    assert caught.value.param == param


def test_too_long_a_prompt_is_refused(worker: Worker) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(worker, "mini", "x" * 300)
    assert caught.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError):
        ask(worker, "mini", "x" * 300, stream=True)


def test_unknown_models_are_404(worker: Worker) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(worker, "ft:mini:ftctl::nothing")
    assert caught.value.code == "model_not_found"


def test_models_are_listed_and_tuned_ones_deleted(worker: Worker, tuned_job: Any) -> None:
    names = [model.id for model in worker.client.models.list()]
    assert {"mini", tuned_job.fine_tuned_model} <= set(names)
    checkpoint = f"{tuned_job.fine_tuned_model}:ckpt-step-30"
    assert worker.client.models.delete(checkpoint).deleted
    assert not (worker.home / "models" / tuned_job.id / "step-30").exists()
    with pytest.raises(openai.NotFoundError):
        ask(worker, checkpoint)
    with pytest.raises(openai.BadRequestError, match="base model"):
        worker.client.models.delete("mini")


def test_log_probabilities_come_with_each_token(worker: Worker) -> None:
    answer = ask(worker, "mini", logprobs=True, top_logprobs=3, max_tokens=4).choices[0]
    tokens = answer.logprobs.content
    assert len(tokens) == 4
    for one in tokens:
        assert len(one.top_logprobs) == 3
        assert one.logprob == pytest.approx(one.top_logprobs[0].logprob)
        assert one.logprob < 0
    chunks = list(ask(worker, "mini", logprobs=True, max_tokens=4, stream=True))
    for chunk in chunks:
        check_schema("CreateChatCompletionStreamResponse", chunk.to_dict())
    parts = [choice.logprobs for chunk in chunks for choice in chunk.choices if choice.logprobs]
    assert [t.logprob for part in parts for t in part.content] == [t.logprob for t in tokens]


def test_several_models_answer_in_one_batch_as_they_do_alone(
    worker: Worker, tuned_job: Any
) -> None:
    models = ["mini", tuned_job.fine_tuned_model, f"{tuned_job.fine_tuned_model}:ckpt-step-36"]
    questions = [(models[n % 3], f"colour of {'sky ' * (n % 2 + 1)}{n}") for n in range(12)]
    alone = [ask(worker, *one).choices[0].message.content for one in questions]
    with ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(lambda one: ask(worker, *one), questions))
    assert [reply.choices[0].message.content for reply in replies] == alone
