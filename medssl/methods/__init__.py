METHODS: dict[str, str] = {
    "simclr": "medssl.methods.contrastive.simclr:SimCLR",
    "spark": "medssl.methods.masked.spark:SparK",
    "mae": "medssl.methods.masked.mae:MAE",
    "voco": "medssl.methods.region.voco:VoCo",
}
