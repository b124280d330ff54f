"""Tests of the settings of the workers of `mpal start --workers`."""

from pathlib import Path

from moonpalace_addons.settings.values import resolve
from moonpalace_cli.proxy.workers import Workers


def test_one_worker_runs_the_rules(tmp_path: Path) -> None:
    """There is one process of rules for all workers, whichever of them is restarted."""
    (tmp_path / "config.yaml").write_text(
        "reports: {disk: {folder: out}}\nrules: {errors: {when: error, to: disk}}\n", encoding="utf-8"
    )
    settings = resolve({}, {"MOONPALACE_HOME": str(tmp_path)})
    workers = Workers(settings, 3)
    assert [len(workers._settings_of(number).rules) for number in range(3)] == [1, 0, 0]
    assert workers._settings_of(2).reports == settings.reports
