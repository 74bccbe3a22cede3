ENCODERS: dict[str, str] = {
    "resnet": "medssl.encoders.resnet:ResNet",
    "resenc": "medssl.encoders.resenc:ResEnc",
    "vit": "medssl.encoders.vit:ViT",
    "swin": "medssl.encoders.swin:Swin",
}
