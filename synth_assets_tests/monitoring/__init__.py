"""Tests of synth_assets.monitoring."""
