LAYOUTS: dict[str, str] = {
    "decathlon": "medssl.io.layouts.decathlon:find",
    "nnunet": "medssl.io.layouts.nnunet:find",
    "bids": "medssl.io.layouts.bids:find",
    "paired": "medssl.io.layouts.paired:find",
    "loose": "medssl.io.layouts.loose:find",
}
