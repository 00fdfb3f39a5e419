"""Tests of discriminators."""
