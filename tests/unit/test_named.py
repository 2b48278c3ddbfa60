"""Things chosen by name: of a registry, or one's own by import path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fl_client.errors import BadInput
from fl_client.named import resolve


def test_a_registrys_entry_goes_before_an_import_path() -> None:
    assert resolve("json:dumps", {"json:dumps": 1}, "thing") == 1
    assert resolve("math:pi", {}, "thing") == pytest.approx(3.14159, abs=1e-5)


@pytest.mark.parametrize("name", ["nothing", ":", "math:", "no_such_module:X", "math:no_such_name"])
def test_what_names_nothing_is_bad_input(name: str) -> None:
    with pytest.raises(BadInput, match="thing"):
        resolve(name, {"a": 1}, "thing")


def test_a_module_in_the_working_directory_is_found_by_an_installed_command(tmp_path: Path) -> None:
    (tmp_path / "my_own.py").write_text("class Mine:\n    word = 'found'\n")
    code = "from fl_client.named import resolve; print(resolve('my_own:Mine', {}, 'thing').word)"
    safe = [sys.executable, "-P", "-c", code]  # -P: as an installed command, without the working directory
    done = subprocess.run(safe, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout.strip(), done.returncode) == ("found", 0), done.stderr
