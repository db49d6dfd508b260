"""Whole nights reduced by others: each script is run as ``python SCRIPT NIGHT OUT``."""
