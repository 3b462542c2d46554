"""One HTML page from one run folder, and the same verdict in the terminal."""

from sparsefire.report.page import write_report

__all__ = ["write_report"]
