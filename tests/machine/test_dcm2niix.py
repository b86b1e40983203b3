"""dcm2niix from its package on PyPI, and without a network."""

from __future__ import annotations

from box import Box
from layers import agree, provision, refused, snapshot


def test_it_comes_from_pypi_runs_and_goes_again(ready_bookworm: Box) -> None:
    box = ready_bookworm
    before = snapshot(box)
    # A check says what the run would refuse.
    assert refused(box, "run dcm2niix --check --prefix ''")["code"] == "prefix"
    report = provision(box, "run dcm2niix")["hosts"]["localhost"]["dcm2niix"]
    assert (report["origin"], report["bin"]) == ("wheel", "/opt/dcm2niix/bin")
    assert f"version v{report['version']}" in box.run("dcm2niix -h").stdout
    assert provision(box, "run dcm2niix")["changed"] == 0
    agree(box, "dcm2niix")
    provision(box, "remove dcm2niix --yes")
    box.cut_network()
    assert refused(box, "run dcm2niix")["code"] == "unreachable"
    assert snapshot(box) == before
