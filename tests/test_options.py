"""The one-line parser of every command line."""

from __future__ import annotations

import pytest

from realtime.options import ModuleParser, OneLineParser


class Custom(ModuleParser):
    says = "error"


@pytest.mark.parametrize(
    ("parser", "line"),
    [
        (
            OneLineParser(prog="merealtime"),
            "merealtime: argument --n: invalid int value: 'two' (see merealtime --help)",
        ),
        (ModuleParser(prog="a.b"), "a.b: argument --n: invalid int value: 'two' (see python -m a.b --help)"),
        (Custom(prog="a.b"), "error: argument --n: invalid int value: 'two' (see python -m a.b --help)"),
    ],
    ids=["program", "module", "of offline"],
)
def test_an_error_is_one_line_with_the_way_to_help(
    parser: OneLineParser, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser.add_argument("--n", type=int)
    with pytest.raises(SystemExit) as left:
        parser.parse_args(["--n", "two"])
    assert left.value.code == 2
    assert capsys.readouterr().err == line + "\n"
    with pytest.raises(SystemExit):
        parser.error("of\ntwo lines")
    assert capsys.readouterr().err.count("\n") == 1
