"""Tests of the watermarks."""
