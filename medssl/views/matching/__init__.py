"""Matchers by name."""

MATCHERS: dict[str, str] = {
    "body-box": "medssl.views.matching.body_box:BodyBox",
    "affine": "medssl.views.matching.affine:AffineMatcher",
    "features": "medssl.views.matching.features:FeatureMatcher",
}
