"""Loading of torch weight files, and rejection of those that do not fit the network."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from faceindex.errors import WeightsInvalid, WeightsNotFound
from faceindex.models import WeightFile
from faceindex.state_dicts import load_network, network_from

State = dict[str, Tensor]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.last = nn.Linear(4, 2)


def state(seed: int = 0) -> State:
    torch.manual_seed(seed)
    return dict(Net().state_dict())


def saved(content: object) -> bytes:
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def load(content: object, ignored: str | None = None) -> Net:
    data = content if isinstance(content, bytes) else saved(content)
    return network_from(Net, data, Path("some.pth"), "a test", ignored=ignored)


def test_the_network_has_the_values_of_the_file_and_no_gradients() -> None:
    net = load(state(3))
    assert not any(module.training for module in net.modules())
    assert not any(parameter.requires_grad for parameter in net.parameters())
    for key, value in state(3).items():
        torch.testing.assert_close(net.state_dict()[key], value)


def test_files_without_counters_of_batches_load() -> None:
    old = {key: value for key, value in state().items() if key != "norm.num_batches_tracked"}
    assert load(old).state_dict().keys() == state().keys()


def test_half_precision_is_converted_to_the_networks_dtype() -> None:
    net = load({key: value.half() for key, value in state().items()})
    for key, value in state().items():
        assert net.state_dict()[key].dtype == value.dtype


def test_tensors_with_the_ignored_prefix_are_skipped() -> None:
    assert load({**state(), "logits.bias": torch.zeros(9)}, "logits.").state_dict().keys() == state().keys()
    with pytest.raises(WeightsInvalid, match=r"logits\.bias is unknown"):
        load({**state(), "logits.bias": torch.zeros(9)}, "head.")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda s: s.pop("last.bias"), "last.bias is missing."),
        (lambda s: s.update({"last.bias": torch.zeros(7)}), "last.bias is 7 instead of 2."),
        (lambda s: s.update({"last.weight": torch.zeros(2, 5)}), "last.weight is 2 x 5 instead of 2 x 4."),
        (lambda s: s.update(attic=torch.zeros(1)), "attic is unknown."),
        (lambda s: s["last.bias"].fill_(torch.nan), "last.bias has values that are not finite."),
        (
            lambda s: s["norm.running_var"].fill_(torch.inf),
            "norm.running_var has values that are not finite.",
        ),
        (
            lambda s: s.update({"last.bias": torch.full((2,), 1e300, dtype=torch.float64)}),
            "last.bias has values",
        ),
        (lambda s: s.update(epoch=3), "it does not contain a state dict of tensors."),
        (
            lambda s: [s.pop(key) for key in list(s) if key.startswith("norm.")],
            "norm.weight is missing, norm.bias is missing, norm.running_mean is missing, and 1 more.",
        ),
    ],
)
def test_a_state_dict_of_another_network_is_rejected(change: Callable[[State], object], fault: str) -> None:
    damaged = {key: value.clone() for key, value in state().items()}
    change(damaged)
    with pytest.raises(WeightsInvalid) as caught:
        load(damaged)
    assert f"some.pth does not contain the weights of this network: {fault}" in caught.value.problem
    assert caught.value.remedy == "Get the file again from a test."


@pytest.mark.parametrize("content", [b"", b"no weights", b"PK\x03\x04" + bytes(100)])
def test_a_file_that_is_not_a_torch_file_is_rejected(content: bytes) -> None:
    with pytest.raises(WeightsInvalid, match=r"some\.pth .* cannot be read as a torch file"):
        load(content)


@pytest.mark.parametrize("content", [[1, 2], [torch.zeros(3)]])
def test_content_that_is_not_a_state_dict_is_rejected(content: object) -> None:
    with pytest.raises(WeightsInvalid, match="does not contain a state dict"):
        load(content)


def test_errors_name_the_file_that_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEINDEX_WEIGHTS", str(tmp_path))
    for name, content in (("good.pth", state()), ("bad.pth", {"other": torch.zeros(1)})):
        (tmp_path / name).write_bytes(saved(content))
    good, bad = (weight(tmp_path / name) for name in ("good.pth", "bad.pth"))
    torch.testing.assert_close(load_network(Net, good).last.bias, state()["last.bias"])
    with pytest.raises(WeightsInvalid) as caught:
        load_network(Net, bad)
    assert caught.value.problem.startswith(f"{tmp_path / 'bad.pth'} does not contain")
    (tmp_path / "good.pth").unlink()
    with pytest.raises(WeightsNotFound):
        load_network(Net, good)


def weight(path: Path) -> WeightFile:
    content = path.read_bytes()
    return WeightFile(path.name, len(content), hashlib.sha256(content).hexdigest(), source="a test")
