"""Figures of the report: each draws one idea on one small canvas that is legible on a phone."""
