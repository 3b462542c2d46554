"""The one exception for wrong input: it says what came, what was expected and how to mend it."""

from __future__ import annotations


class UserError(ValueError):
    """Wrong input from a user, told in at most four lines.

    Args:
        message: one sentence that says what is wrong.
        came: what was given.
        expected: what would have been right.
        attempt: something to paste or do next.

    The command line prints ``error:`` and :meth:`render`, then exits with 2; in Python it is a ``ValueError`` with the
    same text.

    >>> print(UserError("density is 2.", came="2", expected="a fraction in (0, 1]").render())
    density is 2.
      came      2
      expected  a fraction in (0, 1]
    """

    def __init__(self, message: str, *, came: str = "", expected: str = "", attempt: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.came = came
        self.expected = expected
        self.attempt = attempt

    def __reduce__(self):  # keyword-only fields must survive the trip back from a worker process
        return _rebuild, (type(self), self.message, self.came, self.expected, self.attempt)

    def __str__(self) -> str:
        return self.render()

    def render(self) -> str:
        """Return the message followed by the lines that are not empty."""
        lines = [self.message]
        for label, text in (("came", self.came), ("expected", self.expected), ("try", self.attempt)):
            if text:
                lines.append(f"  {label:<9} {text}")
        return "\n".join(lines)


class Diverged(UserError):
    """A loss is no number any more: the training that met it is lost, others are not."""


def _rebuild(kind: type[UserError], message: str, came: str, expected: str, attempt: str) -> UserError:
    return kind(message, came=came, expected=expected, attempt=attempt)
