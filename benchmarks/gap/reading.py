"""What the page says beside its tables."""

HEAD = """# The open gap: pruning a dense network against one random mask

Networks that are trained dense and pruned are better than networks that are trained on one random mask from the start.
How much of that gap closes when the mask, the first weights, the penalty or the optimizer are chosen better, with as
many weights, and with no dense phase?
"""

READING = """## In short

- **On 10,000 rows of MNIST at density 0.1 the gap is closed, by the mask alone.** Gradual pruning, the best from dense
  to sparse, is 0.42 [0.25, 0.58] points above a fixed random mask. A mask whose first layer has random receptive fields
  of correlated inputs (`fields`, drawn without labels from 512 rows) is 0.72 [0.60, 0.85] above: 1.7 times the gap,
  with a lower bound of 1.36, at 0.29 of the multiplications of gradual pruning and a tenth of its memory.
- **Where places of pixels are known**, round fields of neighbours are 1.29 [1.17, 1.42] above, and above gradual
  pruning that starts within such fields, too (97.21 against 96.97%).
- **What does not help there**: critical layout, in-degree, typical, sign and orthogonal first weights, Sign-In, cyclic
  training, averaged weights (no difference, or worse); HAM: no difference seen; SAM +0.15 [0.05, 0.25] at twice the
  cost. SNIP, which sees labels, closes all of it.
- **On PneumoniaMNIST there is no gap at density 0.1**: gradual pruning is 0.3 *below* the fixed mask, nothing from
  dense to sparse is shown to be above it, and so there is no share to close. Neighbours are 0.32 [0.07, 0.57] above.
- **On all 60,000 rows of MNIST** the gap is smaller, 0.13 [0.02, 0.24], and `fields` closes 2.5 of it, 1.44 at least
  (+0.32 [0.26, 0.37]), neighbours more (+0.61). Dense is at 98.27%, `fields` at 98.23%, neighbours at 98.52%.
- **At equal operations** (3.6 times the epochs) a fixed random mask is still 0.23 [0.09, 0.37] points below gradual
  pruning; `fields` are 0.22 [0.10, 0.33] and neighbours 0.92 [0.78, 1.07] above it, and longer training gains them
  nothing.
- **Accuracy against operations** (the picture): at every cost that was tried a fixed mask of `fields` is above gradual
  pruning and above the dense network, and even a plain random mask is above both up to a fifth of the dense cost.
- **At density 0.02** the gap is 2.14 [1.88, 2.40] points, and RigL on `fields` closes all of it, 1.02 [0.92, 1.14], at
  a tenth of the multiplications of gradual pruning and a fiftieth of its memory; `fields` alone, with a mask that
  stays, 0.78 [0.69, 0.89], as much as RigL from a plain random mask.
- **Not run**: convolutional networks, which have receptive fields anyway.
"""

HOW = """## How it was measured

Perceptrons, 784-300-100-10 (266,200 weights) on MNIST and 784-128-64-2 (108,672) on PneumoniaMNIST; AdamW with weight
decay 0.02 on matrices, warm-up over a twentieth of the steps, then half a cosine; batches of 128 and 64. Both sides
are tuned alike: for each arm, data set, density and length the highest rate (0.003, 0.01 or 0.02) and the scaling of
the inputs (each with variance 1, or the image with variance 1) are those with the best mean accuracy of two splits of
their own, on a fifth of their training rows. Then ten replicates are trained: rows drawn anew, first weights, order of
rows and random numbers the same for all arms of a replicate, so differences are paired. Brackets are 95% t intervals
over the ten; the share of the gap has Fieller's interval, which exists only where the gap itself is shown to be above
zero. Nothing is corrected for the number of arms; the luck of choosing a rate is outside the intervals.

Where the highest rate is the best, 0.03 and 0.05 are tried too. Replicates of PneumoniaMNIST share rows, so their
intervals are narrower than those of fresh rows would be. The units of `fields` differ more in their numbers of weights
than those of a plain random mask; with equal numbers they are as good (*one fan-in*: 96.67 against 96.64%), where a
plain random mask loses 0.3 points by it.

The gap is that of the *best* dense-to-sparse arm that knows no more than rows and labels, chosen on the same
replicates, which makes it rather too large than too small (by 0.06 points if seven arms were equal). *Operations*:
multiplications of the training relative to the dense network at equal epochs, three for every existing weight and row,
and one for an absent weight whose gradient is asked for; no kernel here makes use of zeros. *Memory*: weights held with
their gradients and moments while training, relative to dense.

*fields* draws the mask of the first layer by the correlations of the inputs, from 512 rows without labels: see
[`sparsefire.sparsity.scores.fields`](sparse-training.md). Its exponent was chosen on held-out training rows among 0, 2,
4, 6 and 8 (95.94, 96.00, 96.23, 96.19, 96.20% right over six splits). *neighbours* knows where pixels lie: round fields
with a deviation of three pixels (with 2, 3, 4 and 6: 97.18, 97.07, 96.74 and 96.38% of the same rows).
*gmp within neighbours* prunes a network that has had these fields from the start, so it is no dense one. *averaged*
takes the mean of the weights over the last quarter of the steps. *static, orthogonal* has the exactly orthogonal
looks-linear weights of `init.sparse_orthogonal_`, with the masks that these need.

Repeat with `python benchmarks/open_gap.py`, which resumes when it was stopped, then `--table`.
"""

ABLATION = """What does a dense phase have that a fixed mask lacks? Each row gives the fixed mask one thing of it.
*mask of gmp* is a fresh network, with first weights of its own, on the mask that a gradual pruning of the same
replicate (at the rate and scaling of the row) ends with; *shuffled* moves its weights, so that each layer, each input
or each unit keeps its number of them. *signs of dense* gives a random mask the signs of a trained dense network.

The mask is all of it: fresh weights on the mask of gmp do better than gmp itself. Nor is it the numbers of weights, of
layers, inputs or units, which survive the shuffles: it is which inputs meet in a unit. Freedom of signs
(+0.06 [−0.06, 0.17] for signs of dense; Sign-In is worse), better conditioned first weights (none helps) and averaged
noise (no difference) explain nothing here. That is why receptive fields, which only say which inputs meet, close the
gap.

"""
