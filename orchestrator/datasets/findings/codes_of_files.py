"""Codes for a file as a whole: its bytes, its size, its rows together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.datasets.findings.finding import Kind, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE_KINDS: Mapping[str, Kind] = {
    "empty-file": Kind(
        Severity.ERROR,
        "The file holds no example.",
        "Write one JSON object a line; check that the program that made the file finished.",
    ),
    "too-few-rows": Kind(
        Severity.ERROR,
        "The file has {rows} example(s); {target} trains on {least} or more.",
        "Add {missing} more example(s).",
    ),
    "too-many-rows": Kind(
        Severity.ERROR,
        "The file has {rows} examples; {target} takes {most} at most here.",
        "Keep {most} rows: ftctl split FILE --out DIR --train {most}.",
    ),
    "file-too-large": Kind(
        Severity.ERROR,
        "The file has {bytes} bytes; {target} takes {most} at most.",
        "Split the file, or shorten its rows.",
    ),
    "byte-order-mark": Kind(
        Severity.WARNING,
        "The file starts with a UTF-8 byte-order mark, which some targets take for part of row 1.",
        "Save the file as UTF-8 without a mark; ftctl leaves the mark out of what it uploads.",
    ),
    "crlf-line-ends": Kind(
        Severity.WARNING,
        "Lines end with CR LF, as Windows writes them.",
        "Write LF line ends; ftctl uploads LF.",
    ),
    "mixed-line-ends": Kind(
        Severity.WARNING,
        "{crlf} line(s) end with CR LF and {lf} with LF alone.",
        "Write LF line ends throughout; ftctl uploads LF.",
    ),
    "cr-line-ends": Kind(
        Severity.ERROR,
        "Lines end with CR alone, so the whole file is one line.",
        "Replace every CR by LF: tr '\\r' '\\n' < FILE > OUT.jsonl.",
    ),
    "utf-16": Kind(
        Severity.ERROR,
        "The file is {encoding}, not UTF-8 (PowerShell and old programs write such files).",
        "Save it as UTF-8: iconv -f {encoding} -t UTF-8 FILE > OUT.jsonl.",
    ),
    "gzip-named-otherwise": Kind(
        Severity.ERROR,
        "The file is gzip-compressed, and its name does not say so.",
        "Name it .jsonl.gz, or unpack it: gunzip -c < FILE > OUT.jsonl.",
    ),
    "broken-gzip": Kind(
        Severity.ERROR,
        "The compressed data end early or are damaged: {reason}.",
        "Fetch or compress the file again.",
    ),
    "compressed": Kind(
        Severity.ERROR,
        "The file is {format} data, which is not read here.",
        "{mend}.",
    ),
    "git-lfs-pointer": Kind(
        Severity.ERROR,
        "This is a Git LFS pointer, not the data.",
        "Fetch the data: git lfs pull.",
    ),
    "html-page": Kind(
        Severity.ERROR,
        "This is a web page or XML, not the data: a download saved an error or a log-in page, or "
        "the file is of another format.",
        "Download the raw file again, or export its rows as JSONL or CSV.",
    ),
    "json-array": Kind(
        Severity.ERROR,
        "The file is one JSON array; a dataset has one JSON object a line.",
        "ftctl convert FILE -o OUT.jsonl writes one object a line.",
    ),
    "pretty-printed": Kind(
        Severity.ERROR,
        "The JSON is spread over several lines; a dataset has one object a line.",
        "ftctl convert FILE -o OUT.jsonl writes one object a line.",
    ),
    "table": Kind(
        Severity.ERROR,
        "This looks like {format} with the columns {columns}, not JSONL.",
        'ftctl convert FILE --user "{{QUESTION}}" --assistant "{{ANSWER}}" -o OUT.jsonl; '
        "--columns a,b names them where the file does not.",
    ),
    "duplicate-row": Kind(
        Severity.WARNING,
        "The same row as line {first}: repeated rows are learned harder, and paid again.",
        "Drop the repetition, unless the weight is meant.",
    ),
    "near-duplicate-row": Kind(
        Severity.WARNING,
        "The same as line {first} but for case and spacing.",
        "Keep one of the two.",
    ),
    "alike-row": Kind(
        Severity.WARNING,
        "Alike to line {first}: about {percent} % of their runs of words are the same.",
        "Keep one of the two, unless both are meant.",
    ),
    "conflicting-answers": Kind(
        Severity.WARNING,
        "The same prompt as line {first}, with another answer.",
        "Keep the answer that is meant, or tell the prompts apart.",
    ),
    "leaked-row": Kind(
        Severity.WARNING,
        "The same row as line {first} of the training file: it measures memory, not skill.",
        "Take the row out of one of the two files; ftctl split keeps equal rows together.",
    ),
    "leaked-prompt": Kind(
        Severity.WARNING,
        "The same question as line {first} of the training file, with other words around it.",
        "Take the row out of one of the two files.",
    ),
    "leaked-near-duplicate": Kind(
        Severity.WARNING,
        "Almost the same question as line {first} of the training file.",
        "Take the row out of one of the two files, or make them differ.",
    ),
    "tokens-not-counted": Kind(
        Severity.INFO,
        "Tokens were not counted: {reason}.",
        "pip install splintr-rs.",
    ),
    "tokens-estimated": Kind(
        Severity.INFO,
        "Tokens are an estimate, as OpenAI's newest models count ({encoding}): {doubt}.",
        "Name the model that is trained: --model gpt-4o-mini; of an open model the folder that "
        "holds its tokenizer, --model ./FOLDER, or fetch that first: hf download NAME "
        "--include '*.json' '*.jinja'.",
    ),
    "rows-not-compared": Kind(
        Severity.INFO,
        "Rows after line {line_} were compared byte by byte only: the file is large.",
        "Split the file, or look for repeated questions before it is assembled.",
    ),
    "language-mix": Kind(
        Severity.INFO,
        "The answers are written in several scripts: {mix}.",
        "Nothing, if it is meant; a few answers in another script are often a mistake.",
    ),
    "class-balance": Kind(
        Severity.INFO,
        "The answers are: {classes}.",
        "Nothing, if the model will meet them so often.",
    ),
    "class-rare": Kind(
        Severity.WARNING,
        "The answer {answer} is given in {rows} row(s) alone.",
        "Add rows with it, or join it with another class.",
    ),
    "answers-are-no-classes": Kind(
        Severity.WARNING,
        "There are {answers} different answers: this is no classification.",
        "Leave --task out, or write the same label the same way everywhere.",
    ),
}
