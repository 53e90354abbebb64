"""Publish: a folder of results -> a page of words, figures and tables that stands alone."""

from predictdyn.report.page import publish as publish
