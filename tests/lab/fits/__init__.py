"""FITS Storage in the laboratory: database, faults, workers and the command-line stand-ins, for three generations.

A is the runbook's own era (2020), B is shortly before the rewrite (2023), C is the rewrite.
"""
