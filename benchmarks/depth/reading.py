"""What the page says beside its tables."""

TITLES = {
    "mnist10k": "MNIST, 10,000 rows to train on",
    "digits": "digits, 1,437 rows to train on",
}

HEAD = """# How far unit-wise differences go

`UnitDifferences` moves one unit after the other and computes again only what follows from it. That gives the gradient
from losses alone. What does it cost in deeper and wider networks, what do these learn, and where does it stop paying?
"""

READING = """## In short

- **Beside back-propagation it learns the same and never gains time.** At equal epochs no difference in accuracy is
  shown with 1 to 6 hidden layers (MNIST, dense: −0.04 to +0.09 points, all intervals within ±0.41), from losses
  alone. In the CPU time of back-propagation it is 0.6 to 1.8 points behind with one to three layers and 2.5 to 3.4
  with four to six, although with six it was given rather more time. On digits with one layer of
  32 units no difference is shown.
- **What a call costs.** One hidden layer: 3 to 5 times back-propagation, and the wider the less. Two: 5 to 10 times.
  From three on it grows: 9, 14 and 23 times with three layers of 128, 256 and 512 units, 20, 35 and 80 times with six.
  **10 times** is passed from five layers of 64 units, four of 128, or three of 256; **30 times** from six of 256 or
  four of 512; **100 times** nowhere up to six of 512. A whole pass per unit would take 11 to 65 times longer with one
  layer of 128 to 512 units, and 12 to 14 times longer with six.
- **Where it stops paying among rules without derivatives: time ends it, not accuracy.** Up to six layers of 128 units
  it is ahead of node perturbation, which also asks for losses alone, by 5 to 12 points on MNIST in equal CPU time, and
  at equal epochs by the more, the deeper (+5.7, +8.8 and +17.8 with 128 units). With as many losses node perturbation
  is still 1.7 [1.2, 2.2] points behind on MNIST (1 × 32), in 7.5 times the CPU time; on digits no difference is shown
  then. What ends it is the third power of the width: ten epochs of all of MNIST take less than 3 minutes for all that
  has up to 128 units and six layers, and pass **ten minutes with six layers of 256 units or three of 512** (12 minutes
  each); six of 512 take 76.
- **Density 0.1 buys next to no time from three layers on** (36 and 36 ms with 6 × 128, 950 and 976 with 6 × 512),
  though a tenth to a fifth of the multiplications would do: a move soon spreads to all units, and on this machine a
  product that looks up where it belongs costs about twelve of those of a dense matrix. With two layers of 512 units it
  saves a third (29 and 45 ms). With one layer of 128 it learns what back-propagation learns there, too (MNIST, −0.07
  [−0.29, 0.15]).
- **Rounding** bites, but small losses make it, not depth. In float32 the default step c = 0.001 is wrong by 0.6 to 3%
  of the gradient, with one layer as with twelve. The best step is near 0.0001 for fresh networks and 0.01 for those
  with losses of 0.005 or less. Our reading: a cross-entropy near zero is rounded by about 6 · 10⁻⁸ however small it
  is, and its gradient is as small as the loss. With c = 0.00001 the error of trained networks is 28 to 126%. No
  accuracy was lost by it here; where losses fall far below 0.001, a step of 0.01 or float64 is the remedy.
- **Not measured**: accuracies with 256 units or more; density 0.1 and digits beyond
  what the tables show; more directions per step for node perturbation; fewer units per call (`units=`); activations
  other than ReLU.
"""

HOW = """## How it was measured

ReLU perceptrons with 1 to 6 hidden layers of one width and ten outputs, dense or with a random mask at density 0.1 in
the ERK layout, He normal by the weights that each unit has. Losses are cross-entropies, one per row. Step c = 0.001,
one-sided, all units: the defaults of the rule. Node perturbation has its defaults too (one pair of ±0.01 signs on all
units, so three losses per row), and so is the cheapest rule of its kind; more directions were not tried.

*Cost.* CPU milliseconds of one thread for a call on 128 rows of MNIST, which leaves `.grad`: medians over seven rounds
(three where a call takes longer than half a second) in which the rules take turns. The time counts only when the
estimate that was timed has a cosine above 0.999 with the back-propagated gradient in the same process; all do. Biases
are a little off zero: a unit whose inputs are all at rest would stand on the kink of its ReLU, where a difference
upwards is the derivative from the right and back-propagation takes 0. The machine has two cores and other work ran on
them, so single times are good to about a tenth. Fresh networks, in which about half of the pairs of a unit and a row
move.

*Accuracy.* AdamW with weight decay 0.02, warm-up over a twentieth of the steps, then half a cosine; batches of 128
(MNIST, 8 epochs, judged on its 10,000 test rows) and 64 (digits, 30 epochs, judged on 360 rows). For each rule,
network and length the highest rate is chosen on a fifth of the training rows of one split of its own (digits: two):
three rates a factor of three apart, and the next one as long as the best lies at an end. Then five replicates: rows,
first weights, masks and the order of the rows are the same for all rules of a replicate, so differences are paired.
Brackets are 95% t intervals over the five, not corrected for the number of lines; the luck of the choice of a rate is
outside. CPU seconds are those of the training without looks at its accuracy.

Trainings are short: these are not the best accuracies that such networks can have.

Repeat with `python benchmarks/unit_wise.py`, which resumes when it was stopped, then `--table`.
"""

COST = """*A pass per unit* is reckoned: the forward pass times the hidden units and the outputs. *Products* are
multiplications of a non-zero weight, those of single moves, as `rule.budget` counts them, layers above counted whole
unless sparse cones are walked; *of a pass per unit*: their share of what whole passes would take.
"""

GROWTH = """With L hidden layers of w units, of which the share s moves, the moves take per row

    s w³ (L − 1)(L − 2) / 2 + O(L w²)

products: linear in the width at one hidden layer, quadratic at two, cubic from three on, and quadratic in the depth
((L − 1)(L − 2) grows tenfold from 3 to 6 layers, a power of 3.3). Narrow networks are far from that: there calls
and losses cost more than products. The compiled kernel leaves out ReLU units that rest whatever moves, so a product
below costs about half of one in a plain matrix product. The measured powers:
"""

TRAINING = """### Ten minutes of training

CPU minutes of the calls of ten epochs over the 60,000 rows of MNIST (4,690 batches of 128), reckoned from the tables
above; the optimizer is not in them. Bold: ten or more.
"""

EQUAL = """Each line has two comparisons. *Unit-wise in the time of backprop* trains for so many fewer epochs, one at
least, with a schedule and a rate of its own. *Node perturbation in the time of unit-wise* trains for so many more.
"""

LOSSES = """Node perturbation asks for three losses per row and step, so it trains for many more epochs with as many
losses.
"""

ROUNDING = """Relative error |ĝ − ∇L| / |∇L| of the one-sided estimate in float32 against the gradient
back-propagated in float64, on one batch of 128 rows of MNIST; hidden layers of 128 units, dense. *Trained*: after 6
epochs of back-propagation on rows among which these are. Bold: the best c.

![Error of the estimate against the size of the step](images/unit-wise-rounding.svg)
"""
