"""A stored model: a network, the preparation of its inputs and the words for its outputs, without pickle."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sparsefire.deploy.arrays import pack, unpack
from sparsefire.deploy.folder import MOST_VALUES, SETTINGS, broken, is_shape, read_folder, write_folder
from sparsefire.errors import UserError

if TYPE_CHECKING:
    from torch import nn

    from sparsefire.data.prepare import Preparation
    from sparsefire.deploy.runner import Runner

_ROWS = 1024  # rows per pass: bounds memory
_COLUMN = "name, kind (number, category or ordinal), categories, date and not_numbers"
_NUMBERS: dict[str, Callable[[str], Any]] = {"whole": np.int64, "number": np.float64}


@dataclass(frozen=True)
class Model:
    """A network that is ready to be used on new rows; made by :func:`load_model`.

    Attributes:
        description: what the network is, see ``sparsefire.train.networks``.
        network: the torch module, in evaluation mode, masked weights exactly zero.
        preparation: turns raw inputs into the features the network takes.
        schema: columns, classes, task and names of the data it was fitted to.
        target_scale: (mean, standard deviation) of a regression target, else None.
        extra: what else was stored, plain JSON.
    """

    description: dict[str, Any]
    network: nn.Module
    preparation: Preparation
    schema: dict[str, Any]
    target_scale: tuple[float, float] | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def task(self) -> str:
        """ "classification" or "regression"."""
        return self.schema["task"]

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels as the user wrote them, in the order of the codes; () for regression."""
        return tuple(self.schema.get("classes") or ())

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the prepared inputs, in the order of the network's inputs."""
        return tuple(self.preparation.feature_names)

    @property
    def labels(self) -> np.ndarray:
        """The classes as they were in the data, [classes]: whole numbers, numbers, truth values or text."""
        return _labels(self.schema)

    @property
    def layers(self) -> list[tuple[np.ndarray, np.ndarray]] | None:
        """(weight [out, in], bias [out]) float32 of a perceptron, spiking or not, from input to output, else None."""
        from torch import nn

        from sparsefire.train.networks import PERCEPTRONS

        if self.description.get("kind") not in PERCEPTRONS:
            return None

        return [
            (_numpy(layer.weight), _bias(layer)) for layer in self.network.modules() if isinstance(layer, nn.Linear)
        ]

    def features(self, inputs: Any) -> np.ndarray:
        """Return what the network sees: float32 [n, features] or [n, channels, height, width].

        Args:
            inputs: raw rows as a table (by column names) or an array, or the path of a file with them.

        Raises:
            UserError: columns that are missing or cannot be read as what they were when the model was fitted.
        """
        from sparsefire.data import read_new

        return self.preparation.transform(read_new(inputs, self.schema))

    def outputs(self, features: np.ndarray) -> np.ndarray:
        """Return the network's outputs [n, outputs] float32 for prepared features; one thread is not forced."""
        import torch

        self.network.eval()
        features = np.ascontiguousarray(features, dtype=np.float32)
        with torch.no_grad():
            parts = [
                self.network(torch.from_numpy(features[first : first + _ROWS].copy())).numpy()
                for first in range(0, max(1, len(features)), _ROWS)
            ]
        return np.concatenate(parts)

    def predict_scores(self, inputs: Any) -> np.ndarray:
        """Return the outputs [n, outputs] float32 for raw inputs: logits, or a regression's standardised value."""
        return self.outputs(self.features(inputs))

    def predict_proba(self, inputs: Any) -> np.ndarray:
        """Return class probabilities [n, classes] float64, in the order of ``classes``.

        Raises:
            UserError: the model is a regression.
        """
        if self.task != "classification":
            raise UserError(
                "a regression has no class probabilities.", came=f"target {self.schema.get('target_name', '')!s}",
                expected="a model for classes", attempt="predict",
            )  # fmt: skip
        return probabilities(self.predict_scores(inputs))

    def predict(self, inputs: Any) -> np.ndarray:
        """Return the most likely label per row, of the type it had, or a number in the user's units (float64 [n])."""
        return self.table(self.features(inputs))["prediction"]

    def table(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """Return ``prediction``, and for classes ``probability of …`` each, for prepared features."""
        outputs = self.outputs(features)
        if self.task == "classification":
            chances = probabilities(outputs)
            named = {f"probability of {name}": chances[:, code] for code, name in enumerate(self.classes)}
            return {"prediction": self.labels[chances.argmax(axis=1)], **named}
        mean, scale = self.target_scale or (0.0, 1.0)
        return {"prediction": outputs[:, 0].astype(np.float64) * scale + mean}

    def runner(self, seconds: float = 0.02) -> Runner:
        """Return the fastest way found here to compute ``outputs`` for few rows, see :func:`~.runner.fastest`.

        A multilayer perceptron is compacted and compiled, each layer dense or sparse as measured (this takes about
        ``seconds`` × 4 per layer). Any other network runs in torch as it is.
        """
        from sparsefire.deploy.runner import Runner, fastest

        layers = self.layers if self.description.get("kind") == "mlp" else None
        if layers is None:
            return Runner(widths=(), forms=(), timings=(), function=self.outputs)
        return fastest(layers, self.description.get("activation", "relu"), seconds=seconds)


def probabilities(outputs: np.ndarray) -> np.ndarray:
    """Return softmax probabilities [n, C] float64 of logits [n, C]; a single logit is that of the second class of two.

    >>> probabilities(np.array([[0.0]])).tolist()
    [[0.5, 0.5]]
    """
    logits = np.asarray(outputs, dtype=np.float64)
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def save_model(
    folder: str | os.PathLike[str],
    *,
    description: Mapping[str, Any],
    network: nn.Module,
    preparation: Preparation,
    schema: Mapping[str, Any],
    target_scale: tuple[float, float] | None = None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write ``model.safetensors`` and ``model.json`` into a folder.

    Args:
        folder: created when absent; a model that is there is replaced.
        description: of the network, JSON.
        network: baked, that is with plain weights in which masked entries are exactly zero. A matrix is stored as
            sparse rows when that takes fewer bytes.
        preparation: of the inputs; its arrays and settings are stored.
        schema: columns, classes, task and names, JSON.
        target_scale: (mean, standard deviation) by which a regression target was standardised.
        extra: anything else, JSON.

    Raises:
        UserError: the network is still masked, or holds numbers that are not finite.
    """
    state = {name: _numpy(tensor) for name, tensor in network.state_dict().items()}
    for name, array in state.items():
        if "parametrizations." in name:
            raise UserError(
                "the network is still masked.", came=name, expected="plain weights", attempt="sparsefire.bake(network)"
            )
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise UserError(
                "the network holds numbers that are not finite.", came=f"NaN or infinity in {name}",
                expected="a trained network", attempt="a smaller learning rate",
            )  # fmt: skip
    arrays, index = pack(state)
    prepared = {f"prepare.{name}": np.asarray(array) for name, array in preparation.arrays().items()}
    settings = {
        "description": dict(description),
        "network": index,
        "preparation": preparation.settings(),
        "schema": dict(schema),
        "target_scale": None if target_scale is None else [float(number) for number in target_scale],
        "extra": dict(extra or {}),
    }
    write_folder(folder, arrays | prepared, settings)


def load_model(folder: str | os.PathLike[str], factory: Callable[..., Any] | None = None) -> Model:
    """Read a model that :func:`save_model` or ``sparsefire fit`` wrote.

    Args:
        folder: the folder with ``model.json`` and ``model.safetensors``.
        factory: needed for a network that the user's own code makes. It is never imported because a file says so.

    Returns:
        The model, its network in evaluation mode on the CPU.

    Raises:
        UserError: no model there; files that are truncated, changed or do not fit each other; a factory that is
            missing or makes another network.
    """
    arrays, settings = read_folder(folder)
    description, schema = settings["description"], settings["schema"]
    if description.get("kind") == "factory" and factory is None:
        name = str(description.get("name"))
        raise UserError(
            f"this model's network is made by your own code, {name!r}, which is not run because a file says so.",
            came=f"{str(folder)!r} without a factory",
            expected="the factory, given again by you after a look at it",
            attempt="load_model(folder, factory=...), or --model package.module:factory",
        )
    try:
        state = unpack(arrays, settings["network"])
    except ValueError as error:
        broken(folder, "the stored weights do not fit together", str(error), "what saving wrote")
    network = _network(folder, description, state, factory)
    preparation = _preparation(folder, arrays, settings["preparation"])
    _check_schema(folder, schema, description)
    taken = math.prod([description["widths"][0]] if "widths" in description else description["shape"])
    if preparation.features != taken:
        broken(folder, "preparation and network do not fit", f"{preparation.features} features", f"{taken} inputs")
    return Model(
        description=description,
        network=network,
        preparation=preparation,
        schema=schema,
        target_scale=_target_scale(folder, settings.get("target_scale")),
        extra=settings["extra"],
    )


def _network(
    folder: str | os.PathLike[str], description: dict[str, Any], state: dict[str, np.ndarray], factory: Any
) -> nn.Module:
    import torch

    from sparsefire.train.networks import NAMES, build, weight_count

    if description.get("kind") in NAMES:
        try:  # sizes before memory: the description must not promise more than the arrays hold
            promised, held = weight_count(description), sum(array.size for array in state.values())
        except (KeyError, TypeError, ValueError, IndexError, ZeroDivisionError) as error:
            broken(
                folder, "the description of the network cannot be read", f"{error!r}", "widths, or shape and channels"
            )
        if not 0 < promised <= min(held, MOST_VALUES):
            broken(
                folder, "the description is not that of the stored weights", f"{promised} weights", f"at most {held}"
            )
        factory = None
    network = build(description, factory=factory)
    said = {name: (str(t.dtype).removeprefix("torch."), tuple(t.shape)) for name, t in network.state_dict().items()}
    found = {name: (array.dtype.name, array.shape) for name, array in state.items()}
    for name in sorted(said.keys() | found.keys()):
        if said.get(name) != found.get(name):
            broken(
                folder,
                f"the stored weights {name!r} do not fit the network",
                repr(found.get(name)),
                repr(said.get(name)),
            )
    network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in state.items()})
    return network.eval()


def _preparation(
    folder: str | os.PathLike[str], arrays: dict[str, np.ndarray], settings: dict[str, Any]
) -> Preparation:
    from sparsefire.data.prepare import from_stored

    mine = {name.removeprefix("prepare."): array for name, array in arrays.items() if name.startswith("prepare.")}
    left = [name for name in arrays if not name.startswith(("prepare.", "network."))]
    if left:
        broken(
            folder, f"the array {left[0]!r} belongs to nothing", left[0], "arrays of the network and the preparation"
        )
    try:
        return from_stored(mine, settings)
    except UserError:
        raise
    except Exception as error:  # whatever a wrong setting leads to, it is the file that is wrong
        broken(folder, "the preparation of the inputs cannot be read", repr(error)[:120], "what saving wrote")


def _check_schema(folder: str | os.PathLike[str], schema: dict[str, Any], description: dict[str, Any]) -> None:
    task, classes = schema.get("task"), schema.get("classes") or []
    if task not in ("classification", "regression"):
        broken(folder, "the schema names no task", repr(task), "classification or regression")
    if not _is_words(classes):
        broken(folder, "the classes are no list of words", repr(classes)[:60], "one word per class")
    good = {
        "kind": schema.get("kind") in ("table", "array", "images"),
        "shape": is_shape(schema.get("shape")) and len(schema["shape"]) > 0,
        "feature_names": _is_words(schema.get("feature_names")),
        "ignored": _is_words(schema.get("ignored")),
        "scaled": isinstance(schema.get("scaled"), bool),
        "columns": isinstance(schema.get("columns"), list),
    }
    for name in (name for name, fine in good.items() if not fine):
        broken(folder, f"{SETTINGS} describes the {name!r} of the data wrongly, or not at all",
               repr(schema.get(name))[:60], "what saving wrote")  # fmt: skip
    for number, column in enumerate(schema["columns"]):
        if not _is_column(column):
            broken(folder, f"{SETTINGS} describes column {number} of the data wrongly", repr(column)[:60], _COLUMN)
    try:
        _labels(schema)
    except (KeyError, ValueError, OverflowError) as error:
        broken(folder, "the classes cannot be read", str(error), "text, whole numbers, numbers or truth values")
    if task == "classification":
        widths = description.get("widths") or [description.get("outputs")]
        outputs = widths[-1] if isinstance(widths, list) else None
        if len(classes) < 2 or outputs not in ({1, 2} if len(classes) == 2 else {len(classes)}):
            broken(
                folder, "classes and outputs do not agree", f"{len(classes)} classes, {outputs!r} outputs", "one each"
            )


def _is_column(column: Any) -> bool:
    return (
        isinstance(column, dict)
        and isinstance(column.get("name"), str)
        and column.get("kind") in ("number", "category", "ordinal")
        and isinstance(column.get("date"), bool)
        and all(_is_words(column.get(name)) for name in ("categories", "not_numbers"))
    )


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)


def _labels(schema: Mapping[str, Any]) -> np.ndarray:
    names, kind = list(schema.get("classes") or ()), schema.get("labels", "text")
    if kind == "truth":
        return np.array([{"False": False, "True": True}[name] for name in names], dtype=bool)
    return np.array(names, dtype=str) if kind == "text" else np.array([_NUMBERS[kind](name) for name in names])


def _target_scale(folder: str | os.PathLike[str], scale: Any) -> tuple[float, float] | None:
    if scale is None:
        return None
    good = isinstance(scale, list) and len(scale) == 2 and all(type(number) in (int, float) for number in scale)
    if not good or not scale[1] > 0 or not all(abs(number) < 1e300 for number in scale):
        broken(folder, "the scale of the target is no mean and standard deviation", repr(scale)[:60], "two numbers")
    return float(scale[0]), float(scale[1])


def _numpy(tensor: Any) -> np.ndarray:
    return tensor.detach().cpu().numpy().copy()


def _bias(layer: Any) -> np.ndarray:
    return np.zeros(layer.out_features, np.float32) if layer.bias is None else _numpy(layer.bias)
