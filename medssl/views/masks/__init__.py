"""Mask policies by name."""

MASKS: dict[str, str] = {
    "random": "medssl.views.masks.random_cells:RandomCells",
    "blocks": "medssl.views.masks.blocks:Blocks",
    "columns": "medssl.views.masks.columns:Columns",
    "tubes": "medssl.views.masks.columns:Tubes",
    "complementary": "medssl.views.masks.complementary:Complementary",
}
"""Two independent draws are ``Role.draws = 2`` of any of them."""
