"""What the page says beside its tables."""

HEAD = """# The open gap: pruning a dense network against one random mask

Networks that are trained dense and pruned are better than networks that are trained on one random mask from the start.
How much of that gap closes when the mask, the first weights, the penalty or the optimizer are chosen better, with as
many weights, and with no dense phase?
"""

READING = """READING
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

The gap is that of the *best* dense-to-sparse arm that knows no more than rows and labels, chosen on the same
replicates, which makes it rather too large than too small. *Operations*: multiplications of the training relative to
the dense network at equal epochs, counting existing weights, and absent ones where a method asks for their gradient
(one product of three); no kernel here makes use of zeros. *Memory*: weights held with their gradients and moments while
training, relative to dense.

*fields* draws the mask of the first layer by the correlations of the inputs, from 512 rows without labels: see
[`sparsefire.sparsity.scores.fields`](sparse-training.md). Its exponent was chosen on held-out training rows among 0, 2,
4, 6 and 8 (95.94, 96.00, 96.23, 96.19, 96.20% right over six splits). *neighbours* knows where pixels lie: round fields
with a deviation of three pixels (with 2, 3, 4 and 6: 97.18, 97.07, 96.74 and 96.38% of the same rows).
*gmp within neighbours* prunes a network that has had these fields from the start, so it is no dense one. *averaged*
takes the mean of the weights over the last quarter of the steps. *static, orthogonal* has the exactly orthogonal
looks-linear weights of `init.sparse_orthogonal_`, with the masks that these need.

Repeat with `python benchmarks/open_gap.py`, which resumes when it was stopped, then `--table`.
"""

ABLATION = """ABLATION
"""
