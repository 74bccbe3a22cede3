"""Crop policies by name."""

CROPS: dict[str, str] = {
    "random": "medssl.views.crops.random_crop:RandomCrop",
    "centre": "medssl.views.crops.random_crop:Centre",
    "overlapping": "medssl.views.crops.overlapping:Overlapping",
    "distance": "medssl.views.crops.distance:AtDistance",
    "anisotropic": "medssl.views.crops.anisotropic:Anisotropic",
    "base-grid": "medssl.views.crops.base_grid:BaseGrid",
    "within": "medssl.views.crops.base_grid:Within",
    "twin": "medssl.views.crops.base_grid:Twin",
    "partitions": "medssl.views.crops.partitions:Partitions",
    "matched": "medssl.views.crops.matched:Matched",
    "label-weighted": "medssl.views.crops.label_weighted:LabelWeighted",
    "slices": "medssl.views.crops.slices:Slices",
}
"""``earlier`` roles (overlapping, within, twin, matched) are named by their setting ``role``."""
