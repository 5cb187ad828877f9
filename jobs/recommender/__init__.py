"""Profiles, item similarity, ranking and offline evaluation."""
