"""Changes of value, by name."""

AUGMENTATIONS: dict[str, str] = {
    "noise": "medssl.views.augment.noise:Noise",
    "gamma": "medssl.views.augment.gamma:Gamma",
    "brightness": "medssl.views.augment.brightness:Brightness",
    "blur": "medssl.views.augment.blur:Blur",
    "lowres": "medssl.views.augment.lowres:LowRes",
    "cutout": "medssl.views.augment.cutout:Cutout",
}
