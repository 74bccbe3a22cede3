LAYOUTS: dict[str, str] = {
    "decathlon": "medssl.io.manifests.layouts.decathlon:find",
    "nnunet": "medssl.io.manifests.layouts.nnunet:find",
    "bids": "medssl.io.manifests.layouts.bids:find",
    "paired": "medssl.io.manifests.layouts.paired:find",
    "loose": "medssl.io.manifests.layouts.loose:find",
}
