"""validate, convert and split as they are typed."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator

from orchestrator.resources import schema

if TYPE_CHECKING:
    from tests.conftest import Ftctl

DATA = Path(__file__).parents[1] / "data" / "datasets"
TORTURE, REAL = DATA / "torture", DATA / "real"


def test_a_clean_file_exits_0(ftctl: Ftctl) -> None:
    done = ftctl("validate", TORTURE / "ok_10_rows.jsonl")
    assert done.code == 0
    assert "ok for openai (supervised): 10 rows, 0 errors" in done.out


def test_errors_exit_1_with_place_and_fix(ftctl: Ftctl) -> None:
    done = ftctl("validate", TORTURE / "rows_chat.jsonl")
    assert done.code == 1
    assert "rows_chat.jsonl:27:" in done.out
    assert (
        "/messages/1/weight: error: The weight is 0.5; it must be 0 or 1. [weight-value]"
        in done.out
    )
    assert "fix: Write 0 or 1." in done.out
    assert "and 2 more" in done.out


def test_warnings_alone_exit_0(ftctl: Ftctl) -> None:
    assert ftctl("validate", TORTURE / "crlf.jsonl").code == 0


@pytest.mark.parametrize(
    "name", ["ok_10_rows.jsonl", "rows_chat.jsonl", "empty.jsonl", "gzip.jsonl.gz"]
)
def test_json_is_what_the_schema_says(ftctl: Ftctl, name: str) -> None:
    done = ftctl("validate", TORTURE / name, "--json")
    Draft202012Validator(schema("validate.schema.json")).validate(done.json)
    assert done.json["ok"] is (done.code == 0)
    assert done.err == ""


def test_json_counts_each_code_once(ftctl: Ftctl) -> None:
    whole = ftctl("validate", TORTURE / "rows_chat.jsonl", "--json").json
    findings: list[dict[str, Any]] = whole["findings"]
    assert sum(finding["code"] == "weight-value" for finding in findings) == 3
    assert whole["counts"]["weight-value"] == 3
    assert sum(whole["counts"].values()) == len(findings)
    few = ftctl("validate", TORTURE / "rows_chat.jsonl", "--json", "--max-findings", "1").json
    weights = [each for each in few["findings"] if each["code"] == "weight-value"]
    assert [finding["count"] for finding in weights] == [3]


def test_a_validation_file_is_held_against_the_training_file(ftctl: Ftctl) -> None:
    done = ftctl(
        "validate",
        TORTURE / "leak_train.jsonl",
        "--validation",
        TORTURE / "leak_valid.jsonl",
        "--json",
    )
    assert done.code == 0
    leaks = {finding["line"]: finding["code"] for finding in done.json["findings"]}
    assert leaks == {1: "leaked-row", 2: "leaked-prompt", 3: "leaked-near-duplicate"}
    Draft202012Validator(schema("validate.schema.json")).validate(done.json)


def test_standard_input_is_a_file(ftctl: Ftctl, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO((TORTURE / "ok_10_rows.jsonl").read_bytes()))
    monkeypatch.setattr("sys.stdin", stream)
    assert ftctl("validate", "-").code == 0


def test_an_unknown_target_is_a_usage_error(ftctl: Ftctl) -> None:
    done = ftctl("validate", TORTURE / "ok_10_rows.jsonl", "--for", "nowhere")
    assert done.code == 2
    assert "openai|azure|peft" in done.err


def test_a_file_that_is_not_there_is_a_usage_error(ftctl: Ftctl) -> None:
    assert ftctl("validate", "absent.jsonl").code == 2


def test_control_characters_of_the_data_are_shown_not_obeyed(ftctl: Ftctl) -> None:
    path = ftctl.home / "row.jsonl"
    path.write_text('{"messages": [{"role": "\\u001b[2J", "content": "a"}]}\n')
    done = ftctl("validate", path)
    assert "\x1b[2J" not in done.out


def test_fix_writes_a_mended_copy(ftctl: Ftctl) -> None:
    for name in ("comma_between_rows.jsonl", "bom_utf8.jsonl", "nul_tail.jsonl", "cr_only.jsonl"):
        out = ftctl.home / name
        before = (TORTURE / name).read_bytes()
        done = ftctl("validate", TORTURE / name, "--fix", out)
        assert done.code == 0, done.out
        assert "line 1" in done.err or "line 11" in done.err
        assert (TORTURE / name).read_bytes() == before
        assert out.read_bytes() == (TORTURE / "ok_10_rows.jsonl").read_bytes()
    assert (
        ftctl("validate", TORTURE / "bom_utf8.jsonl", "--fix", ftctl.home / "bom_utf8.jsonl").code
        == 2
    )


def test_convert_a_table(ftctl: Ftctl) -> None:
    out = ftctl.home / "sms.jsonl"
    done = ftctl(
        "convert",
        REAL / "sms_spam_collection.tsv",
        "--columns",
        "label,text",
        "--system",
        "Answer ham or spam.",
        "--user",
        "{text}",
        "--assistant",
        "{label}",
        "-o",
        out,
    )
    assert done.code == 0
    assert "5574 row(s)" in done.err
    assert ftctl("validate", out).code == 0
    again = ftctl("convert", REAL / "identity.json", "-o", out)
    assert again.code == 2
    assert "--force" in again.err


def test_convert_prints_rows_or_a_report(ftctl: Ftctl) -> None:
    plain = ftctl("convert", REAL / "torchtune_chat_tiny.json")
    assert plain.code == 0
    assert ftctl("convert", REAL / "torchtune_chat_tiny.json", "-o", "-").out == plain.out
    report = ftctl("convert", REAL / "torchtune_chat_tiny.json", "-o", "out.jsonl", "--json")
    assert report.json == {
        "ok": True,
        "rows": 1,
        "left_out": 0,
        "dialects": {"sharegpt": 1},
        "losses": [],
        "notes": [],
        "refusals": [],
    }
    assert ftctl("convert", REAL / "torchtune_chat_tiny.json", "--json").code == 2


def test_convert_refuses_a_loss_by_name(ftctl: Ftctl) -> None:
    done = ftctl("convert", REAL / "orca_dpo_first30.jsonl", "-o", "out.jsonl")
    assert done.code == 1
    assert "the rejected answer would be lost" in done.err
    assert not (ftctl.home / "out.jsonl").exists()
    assert (
        ftctl("convert", REAL / "orca_dpo_first30.jsonl", "-o", "out.jsonl", "--allow-loss").code
        == 0
    )


def test_convert_maps_keys(ftctl: Ftctl) -> None:
    source = ftctl.home / "in.jsonl"
    source.write_text('{"frage": "2+2?", "antwort": 4}\n')
    done = ftctl(
        "convert",
        source,
        "--map",
        "user={frage}",
        "--map",
        "assistant={antwort}",
        "-o",
        "out.jsonl",
    )
    assert done.code == 0
    assert json.loads((ftctl.home / "out.jsonl").read_text())["messages"][1]["content"] == "4"
    assert ftctl("convert", source, "--map", "nobody={frage}").code == 2
    assert ftctl("convert", source, "--user", "{frage}").code == 2
    assert ftctl("convert", source).code == 1


def test_split_writes_three_files(ftctl: Ftctl) -> None:
    out = ftctl.home / "sms.jsonl"
    ftctl("convert", REAL / "wwdc25_valid.jsonl", "-o", out)
    done = ftctl("split", out, "--out", "splits", "--json")
    assert done.code == 0
    assert sum(done.json["counts"].values()) == done.json["rows"] == 144
    train, valid = (str(ftctl.home / done.json["files"][part]) for part in ("train", "validation"))
    leaks = ftctl("validate", train, "--validation", valid, "--for", "peft", "--json")
    assert not [each for each in leaks.json["findings"] if each["code"].startswith("leaked")]
    assert ftctl("split", out, "--out", "splits").code == 2
    assert ftctl("split", out, "--out", "more", "--train", "100", "--test", "44").code == 0


def test_split_keeps_groups_together(ftctl: Ftctl) -> None:
    source = ftctl.home / "grouped.jsonl"
    lines = [
        json.dumps(
            {
                "messages": [
                    {"role": "user", "content": f"question {number}"},
                    {"role": "assistant", "content": f"a long answer to question {number}"},
                ],
                "book": number // 10,
            }
        )
        for number in range(100)
    ]
    source.write_text("\n".join(lines) + "\n")
    done = ftctl("split", source, "--out", "splits", "--group-by", "book", "--json")
    assert done.code == 0
    books = []
    for path in done.json["files"].values():
        rows = [json.loads(line) for line in (ftctl.home / path).read_text().splitlines()]
        assert all(list(row) == ["messages"] for row in rows)
        numbers = [int(row["messages"][0]["content"].split()[1]) for row in rows]
        books.append({number // 10 for number in numbers})
    assert sum(map(len, books)) == 10
    assert ftctl("split", source, "--out", "more", "--group-by", "author").code == 2


def closed(required: str, **properties: Any) -> dict[str, Any]:
    """The schema of an object with these keys and no others."""
    shape = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**shape, "required": required.split()}


SAID = closed("text", text={"type": "string", "minLength": 1})
LEVEL = {"enum": ["none", "note", "warning", "error"]}
FROM_ONE = {"type": "integer", "minimum": 1}
#: What SARIF 2.1.0 (OASIS, sections 3.13 to 3.52) says of the objects that are written here.
SARIF = closed(
    "version runs",
    **{"$schema": {"type": "string", "format": "uri"}},
    version={"const": "2.1.0"},
    runs={
        "type": "array",
        "items": closed(
            "tool",
            tool=closed(
                "driver",
                driver=closed(
                    "name",
                    name={"type": "string"},
                    version={"type": "string"},
                    rules={
                        "type": "array",
                        "uniqueItems": True,
                        "items": closed(
                            "id",
                            id={"type": "string"},
                            shortDescription=SAID,
                            help=SAID,
                            defaultConfiguration=closed("", level=LEVEL),
                        ),
                    },
                ),
            ),
            columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
            results={
                "type": "array",
                "items": closed(
                    "message",
                    ruleId={"type": "string"},
                    ruleIndex={"type": "integer", "minimum": -1},
                    level=LEVEL,
                    message=SAID,
                    locations={
                        "type": "array",
                        "uniqueItems": True,
                        "items": closed(
                            "",
                            physicalLocation=closed(
                                "artifactLocation",
                                artifactLocation=closed(
                                    "uri", uri={"type": "string", "format": "uri-reference"}
                                ),
                                region=closed("", startLine=FROM_ONE, startColumn=FROM_ONE),
                            ),
                            logicalLocations={
                                "type": "array",
                                "items": closed("", fullyQualifiedName={"type": "string"}),
                            },
                        ),
                    },
                ),
            },
        ),
    },
)


def test_findings_can_be_written_as_sarif(ftctl: Ftctl) -> None:
    done = ftctl("validate", TORTURE / "rows_chat.jsonl", "--sarif", "out.sarif")
    assert done.code == 1
    made = json.loads((ftctl.home / "out.sarif").read_text())
    Draft202012Validator(SARIF).validate(made)
    run = made["runs"][0]
    rules = {rule["id"]: rule for rule in run["tool"]["driver"]["rules"]}
    assert rules["unknown-key"]["shortDescription"]["text"] == "The key … is not known here."
    assert "help" not in rules["unknown-key"]
    assert '{"role": "user"' in rules["message-not-object"]["help"]["text"]
    assert all(
        run["tool"]["driver"]["rules"][each["ruleIndex"]]["id"] == each["ruleId"]
        for each in run["results"]
    )
    assert ftctl("validate", TORTURE / "rows_chat.jsonl", "--sarif", "out.sarif").code == 2


def test_a_row_is_shown_as_the_model_sees_it(ftctl: Ftctl) -> None:
    done = ftctl("validate", TORTURE / "ok_10_rows.jsonl", "--show", "2")
    assert done.code == 0
    assert "[learned assistant" in done.out
    assert "row 2, line 2:" in done.out
    shown = ftctl("validate", TORTURE / "ok_10_rows.jsonl", "--show", "2", "--json").json
    assert [piece["trained"] for piece in shown["pieces"]] == [False, False, True, False]
    assert ftctl("validate", TORTURE / "ok_10_rows.jsonl", "--show", "11").code == 2


def test_the_cost_of_a_pass_is_told_for_a_model_with_a_price(ftctl: Ftctl) -> None:
    done = ftctl("validate", TORTURE / "ok_10_rows.jsonl", "--model", "gpt-4o-mini", "--json")
    assert done.json["estimate"]["usd"] == pytest.approx(325 * 3 / 1e6)
    plain = ftctl("validate", TORTURE / "ok_10_rows.jsonl", "--model", "gpt-4o-mini", "--histogram")
    assert "one pass of training: $0.00097, 325 tokens" in plain.out
    assert "longest: line 2 (37)" in plain.out


def test_convert_reads_standard_input_and_writes_other_dialects(
    ftctl: Ftctl, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO((TORTURE / "ok_10_rows.jsonl").read_bytes()))
    monkeypatch.setattr("sys.stdin", stream)
    assert ftctl("convert", "-", "--to", "sharegpt", "-o", "out.jsonl").code == 0
    first = json.loads((ftctl.home / "out.jsonl").read_text().splitlines()[0])
    assert first["conversations"][1] == {"from": "human", "value": "Tell me the capital of France."}
    assert ftctl("convert", TORTURE / "ok_10_rows.jsonl", "--to", "klingon").code == 2


@pytest.mark.parametrize("command", ["validate", "convert", "split"])
def test_every_command_has_help_with_an_example(ftctl: Ftctl, command: str) -> None:
    done = ftctl(command, "--help")
    assert done.code == 0
    assert f"ftctl {command} " in done.out.split("Example:")[1]
    assert "--json" in done.out


def test_fix_tells_each_mend_once(ftctl: Ftctl, tmp_path: Path) -> None:
    source = tmp_path / "windows.jsonl"
    source.write_bytes((TORTURE / "ok_10_rows.jsonl").read_bytes().replace(b"\n", b"\r\n"))
    done = ftctl("validate", source, "--fix", tmp_path / "mended.jsonl")
    assert done.code == 0
    assert done.err.count("CR LF became LF") == 1
    assert "line 1: CR LF became LF (and in 9 more line(s))" in done.err


def test_half_an_emoji_in_a_key_is_printed_and_written(ftctl: Ftctl, tmp_path: Path) -> None:
    source, sarif = tmp_path / "rows.jsonl", tmp_path / "rows.sarif"
    source.write_text('{"messages": [{"role": "user", "\\\\ud83d": 1}]}\n{"\\\\ud83d": 1}\n')
    done = ftctl("validate", source, "--sarif", sarif, "--json")
    assert done.code == 1
    assert "Traceback" not in done.err
    Draft202012Validator(schema("validate.schema.json")).validate(json.loads(done.out))
    assert json.loads(sarif.read_bytes())["runs"][0]["results"]
    assert "\\\\ud83d" in ftctl("validate", source).out


def test_sarif_counts_characters_and_writes_a_uri(ftctl: Ftctl, tmp_path: Path) -> None:
    source, sarif = tmp_path / "ü x.jsonl", tmp_path / "rows.sarif"
    row = '{"messages": [{"role": "user", "content": "😀é"}, {"role": "narrator", "content": ""}]}'
    source.write_text(row + "\n", encoding="utf-8")
    ftctl("validate", source, "--for", "peft", "--sarif", sarif)
    run = json.loads(sarif.read_bytes())["runs"][0]
    (result,) = run["results"]
    place = result["locations"][0]["physicalLocation"]
    assert run["columnKind"] == "unicodeCodePoints"
    assert place["region"] == {"startLine": 1, "startColumn": row.index('"narrator"') + 1}
    assert place["artifactLocation"]["uri"].endswith("/%C3%BC%20x.jsonl")
