"""The parameterisations by method, with what goes along with each."""

from __future__ import annotations

from sparsefire.sparsity.parameterisation import Parameterisation
from sparsefire.sparsity.parameterisation.annealed import Anneal, SoftGates
from sparsefire.sparsity.parameterisation.deep import Deep
from sparsefire.sparsity.parameterisation.gates import InputGates
from sparsefire.sparsity.parameterisation.hard_concrete import HardConcrete
from sparsefire.sparsity.parameterisation.penalised import Clock
from sparsefire.sparsity.parameterisation.power import Power
from sparsefire.sparsity.parameterisation.product import Product
from sparsefire.sparsity.parameterisation.soft import SoftThreshold
from sparsefire.sparsity.parameterisation.spred import Spred
from sparsefire.sparsity.parameterisation.straight import StraightThrough

SPRED = Parameterisation("balanced product", Spred, decay="none")
PILOT = Parameterisation("product", Product, decay="none")
DEEP = Parameterisation("deep product", Deep, draws=True, decay="none")
POWER = Parameterisation("power", Power)
SOFT = Parameterisation("soft threshold", SoftThreshold)
ANNEALED = Parameterisation("soft gates", SoftGates, Anneal, frozenset({"steps"}))
# log α has to go some four units, which weights' rates do not in a short training.
HARD_CONCRETE = Parameterisation("hard concrete gates", HardConcrete, Clock, draws=True, rate=20.0)
INPUT_GATES = Parameterisation("gates on inputs", InputGates, Clock, draws=True, first=True)
STRAIGHT = Parameterisation("straight-through", StraightThrough, decay="all")
