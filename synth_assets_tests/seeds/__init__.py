"""Tests of synth_assets.seeds."""
