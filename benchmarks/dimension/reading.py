"""What the page says beside its tables."""

HEAD = """# The price of not differentiating

A rule without derivatives pays in noise for the dimension of what it perturbs. Is that price, in the end, the number
of active weights, of units, or something smaller? And is a wide network with few weights then better than a narrow
dense one with as many?
"""

READING = """## In short

- **Variance: yes. Risk: no.** One estimate is as noisy as there are active weights (exponent 1.00 [0.98, 1.03] for
  two queries, over 144 to 203,530 of them), but risk at equal queries per weight does *not* fall together in a
  network. For students that all can be the teacher, losses to a risk of 0.15 go with N to the power 1.01 [0.80,
  1.22], and yet curves are nearly as far apart at equal losses / N (a factor exp 0.9) as at equal losses (exp 1.2).
- **It matters which weights.** Eight times as many units, each with the inputs its teacher's unit has, cost 0.2
  [−0.2, 0.6] in the exponent of the losses and 0.35 [−0.02, 0.72] in that of the price: next to nothing early on,
  more near the floor (risk after 256,000 losses is 4.4 [3.3, 5.8] times that of the smallest student for 7.9 times
  the weights). That is about what the effective rank does, which only doubles. More inputs for the same units cost
  their full number and more: 1.95 [0.69, 3.21] and 1.34 [0.12, 2.57].
- **No size that was tried makes all curves fall together.** Best is the number of inputs a unit reads (price exponent
  0.86 [0.60, 1.11]); N and tr H / ‖H‖ leave more. This was looked for after the fact.
- **Where the law holds exactly**: linear regression. There the effective rank of the inputs is the price and their
  number is none: 90 steps for rank 8 with 256 and with 1,024 inputs alike, while the relative variance of the
  estimate is their number less one.
- **Node perturbation**: its variance goes with the units to the power 0.89 [0.76, 1.03] and the exact law holds in
  every cell (within 4%), but on the way to a risk its *price* is not shown to rise with units (exponent −0.06 [−0.44,
  0.32], 9 to 65 of them), nor with density (0.30 [−0.26, 0.85] on weights). Density buys next to no variance:
  exponents 0.17 [0.02, 0.32] at the start, 0.24 [0.08, 0.40] later, so that a tenth of the weights leaves 0.6 to 0.7
  of it, where two queries have a tenth. Masks change the *risk* by the loss they leave to descend, as they do for the
  gradient.
- **Sparse and wide beats dense and narrow where the mask is right.** With the teacher's inputs risk is 0.02 [0.02,
  0.03] of the narrow dense student's with as many weights, and 0.04 [0.03, 0.06] of the wide dense one's. With masks
  that synaptic noise found by gradients 0.32 [0.20, 0.52], by queries alone 0.76 [0.69, 0.83]. **With random masks it
  is worse**: 1.2 to 1.7 times the risk, shown in three cases of four.
- **Finding the mask does not pay for itself here.** The queries that found one (256,000) and those that used it leave
  2.8 [1.1, 6.9] times the risk of a wide dense student that spent both on learning; and the gradients that found one
  would have learned the task.
- **Digits: no mask is shown to beat a narrow dense network** of as many perturbed numbers (760), at 80,000 losses of
  a batch or 1.6 million of a row: found by synaptic noise +1.2 [−1.2, 3.5] points (two queries) and −0.5 [−1.7, 0.8]
  (nodes), by magnitude 0.0 and −0.2, random −0.7 [−3.6, 2.1] and **−1.9 [−3.4, −0.3]**. Whitened inputs with a sparse
  layer behind them: +0.1 and 0.0 to narrow dense, −0.5 and +0.2 to narrow dense on the same inputs, none shown. Fixed
  hidden layers with as many perturbed weights: +0.5 and −0.4, none shown.
- **Fewer perturbed numbers are no aim in themselves**: a dense 64-64-10 (4,810) is **+2.0 [1.5, 2.5]** to the narrow
  one at equal losses for node perturbation, and +1.9 [−0.3, 4.2], not shown, for two queries.
- **Nor does a structure on digits.** A wide hidden layer of 256 units that nothing perturbs is **+1.8 [1.2, 2.4]** to
  the narrow dense network for node perturbation (**+1.9 [0.8, 2.9]** with fields of neighbours), but it has 2,570
  perturbed weights, and to a dense network with as many (34 units) it is 0.0 [−1.1, 1.1] and 0.0 [−0.9, 1.0] (two
  queries: −0.3 [−2.2, 1.6] and −0.1 [−1.5, 1.3]). It does as well while 10 units are moved instead of 44.
- **MNIST (10,000 rows, 40 whitened components, 826 perturbed numbers)** separates the two prices. For two queries a
  wide network with the mask of synaptic noise *beats* narrow dense: **+1.1 [0.6, 1.6]** points; for node
  perturbation, where it moves 74 units instead of 26, the same network loses **1.6 [1.2, 2.1]**. With a random mask
  it loses both: **−1.5 [−2.3, −0.7]** and **−3.0 [−3.7, −2.3]**. The mask was found by gradients with labels.
"""

VARIANCE = """One pair of losses on a fixed batch has a relative variance of N − 1 for N active parameters, exactly
for signs and up to the size of the perturbation; one draw of noise on the units of every row has

    E|ĝ − g|² / |g|² = Σ_b Σ_j q_bj (Σ_i δ_bi² − δ_bj²) / (B² |g|²)

with δ_bj the derivative of the loss of row b by the output of unit j and q_bj the sum of squares of what that unit
reads. If units were alike this would be (units − 1) times what single rows differ by, at any density. Random masks at
the same density in both layers of 784-units-10 (MNIST) and 64-units-10 (digits), batches of 256 rows, five networks
each, 60 and 30 estimates; *later*: after 100 steps of Adam. Exponents on log axes, by least squares over all cells,
with intervals over the five; for node perturbation on units and density at once, with a constant for each data set.
`ForwardGradient` has the same variance as two queries, up to the size of the perturbation, and is not shown.

![Relative variance against active weights](images/price-variance.svg)
"""

RANK = """Linear regression without noise, inputs of covariance Q with eigenvalues (1 − 1/r)ʲ, j = 0, 1, ..., so that
tr Q / ‖Q‖ is r once there are many more inputs; parameters drawn alike in all directions. The exact laws
([2309.15001](https://arxiv.org/abs/2309.15001) for one row a step; for signs see `benchmarks/dimension/laws.py`) give
the fewest steps to a tenth of the first risk over constant rates. *two-query* asks about the loss of the population,
*two-query, row* about that of one fresh row; each such step reads two losses. The relative variance of an estimate is
d − 1 for d inputs in all of these. Where the inputs are at least three times the rank, steps go with the rank to the
power 1.01 and with the number of inputs to the power 0.03; row by row 2.11 and 0.03.
"""

RISK = """A teacher with 20 normal inputs and 8 tanh units that read 4 of them each; its output has variance 1, its
noise a deviation of 0.1. Students are one layer of tanh units, *units × inputs of a unit*. *oracle*: unit j reads
what a unit of the teacher reads, and others at random where it may read more; *random*: any inputs; *dense*: all 20;
*noise*: the mask is what `method="synaptic-noise"` leaves of a dense student of 16 units, trained by back-propagation
through the noise; *noise, queries*: the largest products after learning both factors by two queries with noise of
size 0.1, no gradient anywhere. Found masks start again from fresh weights. N counts all that is perturbed, biases and
readout too. Each oracle, random or found mask has a narrow dense control with as many weights, as near as whole units
allow.

Two queries: batches of 32 fresh rows, 16 pairs a step. Node perturbation: batches of 8, one draw of noise for each
row; losses are those of rows, clean pass included. Plain steps at constant rates, five of them a factor 2 apart in
units of what curvature allows; at every number of losses the rate with the best mean of two replicates is taken, and
judged on six others. *Price*: losses over what back-propagation, tuned alike with the same batches and masks, needs
in gradients (of a batch, or of a row) to the same risk. Sixteen pairs a step put a floor of 32 under the price of two
queries, and three losses a row one of 3 under that of node perturbation.

![Risk against losses](images/price-risk.svg)

If risk at equal losses / size were the same, curves would fall together: the exponent of the losses on the size would
be 1 and deviations at equal losses / size 0. Deviations are over students, of natural logarithms, with intervals over
replicates; a replicate that does not reach the risk with all students of a family is left out of its exponents, which
favours large students.

![Price against active weights](images/price-losses.svg)
"""

IMAGES = """Perceptrons with one hidden layer of ReLU units, cross-entropy, Adam with a rate that falls to 0 in a
straight line, batches of 64 rows; two queries with 16 pairs a step, node perturbation with one draw a row. All
perturb about 760 numbers (826 on MNIST), biases among them, except *wide dense*, *wide fixed* and its control *dense,
34 units*. *wide* has 64 hidden units and a mask in both layers: *random* (ERK), receptive *fields* of correlated
inputs, round fields of *neighbours*, or what gradual *magnitude* pruning or *synaptic noise* leave of a dense network
that back-propagation trains for 1,500 steps; then fresh weights. *whitened*: principal components of the training
rows with variance 1, 20 of 64 pixels and 40 of 784. *fixed*: the hidden layer stays as drawn, dense or as round
fields of neighbours, and only the readout is perturbed; *wide fixed* has 256 units. Rates by the mean of two
replicates on a fifth of their training rows (four rates a factor 3 apart, more where the end is best); then six
replicates with splits, first weights and order of rows of their own, the same for all arms. Differences in points,
paired; bold where the interval excludes 0, which is uncorrected for the number of arms.
"""

HOW = """## How it was measured

MINUTES minutes of one core. The loops are batched (`benchmarks/dimension/engine.py`) and give the estimates of
`sf.rules.TwoQuery` and `sf.rules.NodePerturbation` number for number, which a test checks; variances and the
simulated run use the rules themselves. Choices of ours: sizes, the teacher's slope (3, so that a linear fit leaves a
quarter of its variance), constant rates for the teacher and falling ones for pictures, 16 pairs. *exp of the
entropy*, *(tr H)² / tr H²* and *inputs of a unit* were tried after tr H / ‖H‖ had failed to order the students: what
they explain is a description of these students and no test. Intervals are 95% t intervals over replicates; the luck
of choosing a rate on two replicates is outside of them. Digits share rows between splits, so their intervals are
narrower than those of fresh data.

Not run: pixels of MNIST and fixed layers there, deeper networks, one-sided or single queries, masks found by queries
on pictures (64-64-10 has too many products for 80,000 losses). A pilot with other sizes of the teacher chose the
sizes above; no arm was dropped after it.

Repeat with `python benchmarks/price.py`, which resumes when it was stopped, then `--table`.
"""
