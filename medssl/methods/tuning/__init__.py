TUNINGS: dict[str, str] = {
    "segment": "medssl.methods.tuning.segment:Segment",
    "classify": "medssl.methods.tuning.classify:Classify",
}
