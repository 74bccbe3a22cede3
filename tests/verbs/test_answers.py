"""What verbs say on stderr while they work."""

from __future__ import annotations

import pytest

from medssl.verbs.answers import Progress


def test_a_note_stands_on_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    progress(1, 9, "simclr")
    progress.note("at step 0 the run has collapsed")
    progress(2, 9, "simclr")
    progress.close()
    out, said = capsys.readouterr()
    assert out == ""
    assert said == "simclr …\nnote: at step 0 the run has collapsed\n"
