"""Rewards: plain functions, thin adapters, and the mixer."""
