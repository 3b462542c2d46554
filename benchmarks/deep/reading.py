"""What the page says beside its tables."""

HEAD = """# Deep sparse networks: what helps them to train

Plain ReLU networks with hidden layers of 256 units, without norm layers or skips, and with few weights. Which layouts,
initialisers and penalties of `sparsefire.propagation` let them train, and which do not?
"""

READING = """## In short

- **Sparse orthogonal looks-linear weights help most**, and everywhere where there is something to gain
  (`init.sparse_orthogonal_`, which chooses the masks too). At density 0.01 they gain 17 to 23 points on MNIST and
  digits and 4 on adult; at 0.02 they still gain 3 to 5, and nothing on adult, where every arm that trains is equal.
  Butterfly and Givens rotations are alike.
- **Trainable depth.** Orthogonal looks-linear networks (butterfly) still train where the search ends, with 320 layers
  at densities 0.01 and 0.02 and with 640 at 0.05: at least 16, 4 and 4 times the deepest baseline (20, 80 and 160
  layers; at 0.05 depths are a factor 2 apart at first). `critical-signs` with signs reaches 4 times at 0.01 and no
  more than the baseline beyond; ERK with signs, and `critical` with typical weights, 2 and 1.4 times; looks-linear
  Gaussian weights 2, 1.4 and 2 times; the penalty 2 times at 0.01 and no gain beyond. At 0.05 nothing else beats the
  best baseline. So three times is met by orthogonal weights everywhere, and by signs at 0.01 alone.
- **Signs** (`init.signs_`) help where a unit has two or three weights: +9 and +13 points at density 0.01 on MNIST and
  digits. With five weights a unit (0.02) there is next to nothing left of it.
- **`critical-signs` layout with signs** adds another 2 to 7 points at density 0.01, at the same number of weights,
  and is level with the baselines at 0.02. At 0.01 no bound of the critical layout can be paid for in full (see
  below): what acts is probably that all fan-ins, and all fan-outs, of a layer differ by one at most.
- **`critical` layout with normal weights** helps on MNIST and adult at 0.01, not on digits, and on MNIST at 0.02 it
  is 2.7 to 3.2 points *worse* than ERK, perhaps because its bounds take weights from the first layers.
- **What does not help.** `typical_`: no gain in accuracy in any place over the same layout by in-degree, and a small
  loss in one; our guess is that Adam and a tuned rate make up for a lost scale. 28 layers train instead of 20 at
  0.01. The penalty, minimised before training or as a term of the loss, helps in one place of six each (+1 and +7
  points, on digits), and no difference is seen elsewhere. Looks-linear weights without orthogonality: -6 to +2 points.
  Approximate isometry on a given mask: 7 to 17 points worse at density 0.01 (its minimum nears a permutation, and ReLU
  then halves the signal), 0 to 1 point better at 0.02.
- **Density 0.005** leaves a unit 1.3 weights: a ReLU signal dies out, and on all 256 units nothing trains, by
  whatever start. The same number of weights on 64 units of each layer, the others idle, trains to 81 % with
  orthogonal weights and to 70 % with the best baseline. No layout of the package leaves units out by itself.

These are 400 steps, not trained-out networks: they rank how well training starts. Settings and arms followed a pilot of
two replicates that was judged on MNIST test rows; four arms (combinations of signs with others) were dropped after it
to save time.

## How it was measured

Adam with warm-up (a twentieth of the steps) and half a cosine, 400 steps of 64 rows, gradients clipped at norm 1,
ReLU, biases zero at the start. All arms of a place keep the same number of weights, or up to 2 % less with orthogonal
weights, whose counts come in pairs (looks-linear Gaussian: up to 0.3 % more, by rounding). Networks hold their
existing weights alone; they are those of the masked `nn.Linear` layers, with the same gradients.

The highest rate is chosen for each arm and place out of 0.003, 0.01, 0.03, 0.06 by two networks of their own, trained
on four fifths of the training rows and judged on the rest. Then ten fresh networks are trained on all training rows.
Those of one number share the order of the rows and the number that masks are drawn by, so differences are paired. "±"
and brackets are 95 % t intervals over the ten, not corrected for the number of lines; bold: above 0. The best
baseline of a place is the one that was best on the two networks that chose the rates.

Baselines: *He* is the variance for dense layers, *by density* divides it by the density of the layer, *by in-degree*
by the weights of each unit; ERK, balanced and uniform are layouts. *Typical* is `typical_`, *looks-linear Gaussian*
is `looks_linear_` on mirrored masks, *approximate isometry* is `approximate_isometry_` on the ERK mask. *Penalty
minimised first*: 50 steps of Adam on `penalty(net)` alone before training; *in the loss*: 0.01 times the penalty, its
gradient taken anew every 20 steps.

The critical layout refuses these densities at its own bounds, so these are loosened in five stages, each bound as far
as the density needs (`BOUNDS` in `benchmarks/deep/arms.py`). At density 0.02 signs get by with extinction ≤ 0.1 and
spread ≤ 2 (normal weights: 0.5 and 16 on MNIST; on digits and adult 0.9, and hardly any other bound); at 0.01 signs
need 0.5 and normal weights 0.9. From 0.05 on both keep their own bounds at 20 layers.

Written by `python benchmarks/deep_sparse.py`, which resumes when it was stopped (about MINUTES minutes of one core in
all); `--quick` runs a few small cases in a minute, `--table` writes this page from what is finished.
"""
