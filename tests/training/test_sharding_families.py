"""Every architecture in shards over two processes: one step changes the weights as it does in one process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, multiprocessing

from backend.models.loading import without_weights
from backend.training.sharding import gathered, held_share, is_sharded, plain_copy, shard
from tests.training.little_trainer import arguments_in
from tests.training.test_adapting import FAMILIES, config_of, tiny

PROCESSES, ROWS, LONGEST = 2, 4, 9


def steady(model: Any) -> Any:
    """The model without dropout, whose random numbers would be others in each process."""
    for module in model.modules():
        for name, value in vars(module).items():
            if "drop" in name and isinstance(value, float):
                setattr(module, name, 0.0)
            if name == "p" and isinstance(module, torch.nn.Dropout):
                module.p = 0.0
    return model.train()


def texts() -> dict[str, torch.Tensor]:
    """Rows of equal length, so that each process's mean loss weighs the same."""
    ids = torch.randint(3, 90, (ROWS, LONGEST), generator=torch.Generator().manual_seed(1))
    ids[:, -1] = 2  # T5 looks at the end-of-text token
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([0, 1, 2, 1])}


def step(model: Any, rows: dict[str, torch.Tensor]) -> float:
    """One step of plain gradient descent; the loss before it."""
    loss = model(**rows).loss
    loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    return float(loss.detach())


def learn_in_shards(rank: int, folder: str) -> None:
    """What each of the processes does, for all families one after another; the first one keeps what came of it."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": PROCESSES, "LOCAL_WORLD_SIZE": PROCESSES}
    here = {"ACCELERATE_USE_CPU": "true", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}  # they have met in a file
    os.environ |= {name: str(value) for name, value in place.items()} | here
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=PROCESSES)
    own = {name: tensor[rank::PROCESSES] for name, tensor in texts().items()}
    for family in FAMILIES:
        model = steady(without_weights(config_of(family)) if rank else tiny(family))
        shard(model, arguments_in(Path(folder) / f"rank-{rank}"))
        assert is_sharded(model), family
        share = held_share(model)
        loss = step(model, own)
        weights = gathered(iter(model.state_dict().items()), kept=rank == 0)
        plain = plain_copy(model, kept=rank == 0)
        if rank == 0:
            saved = {"loss": loss, "share": share, "weights": weights, "class": type(plain).__name__}
            torch.save(saved, Path(folder) / f"{family}.pt")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the processes kept, a file a family."""
    folder = tmp_path_factory.mktemp("shards")
    multiprocessing.spawn(learn_in_shards, (str(folder),), nprocs=PROCESSES)  # type: ignore[no-untyped-call]
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_a_step_in_shards_is_the_step_of_one_process(learned: Path, family: str) -> None:
    found = torch.load(learned / f"{family}.pt", weights_only=True)
    alone = steady(tiny(family))
    name, before = type(alone).__name__, {key: value.clone() for key, value in alone.state_dict().items()}
    step(alone, texts())
    after = alone.state_dict()
    assert found["class"] == name
    assert 0.4 < found["share"] < 0.6
    assert found["weights"].keys() == after.keys()
    assert any(not torch.equal(before[key], after[key]) for key in after), "the step changes something"
    for key, value in after.items():
        assert np.allclose(found["weights"][key], value, rtol=1e-4, atol=1e-6), key
