"""Names of torch's functions by what they do to the sites of a map."""

from __future__ import annotations

_SITE_BY_SITE = """
abs absolute add addcdiv addcmul atan atan2 bitwise_and bitwise_not bitwise_or bitwise_xor ceil clamp clamp_max
clamp_min clip cos cosh div divide eq erf erfc exp exp2 expm1 float_power floor floor_divide fmod ge greater
greater_equal gt isfinite isinf isnan le less less_equal lerp log log10 log1p log2 logaddexp logical_and logical_not
logical_or logical_xor logit lt masked_fill maximum minimum mul multiply nan_to_num ne neg negative not_equal positive
pow reciprocal relu remainder round rsqrt rsub sgn sigmoid sign sin sinh softplus sqrt square sub subtract tan tanh
true_divide trunc where xlogy
relu6 elu selu celu leaky_relu gelu silu mish softsign tanhshrink hardtanh hardswish hardsigmoid hardshrink softshrink
threshold logsigmoid dropout
__add__ __radd__ __iadd__ __sub__ __rsub__ __isub__ __mul__ __rmul__ __imul__ __truediv__ __rtruediv__ __itruediv__
__div__ __rdiv__ __idiv__ __floordiv__ __rfloordiv__ __mod__ __pow__ __rpow__ __ipow__ __neg__ __pos__ __abs__
__invert__ __and__ __or__ __xor__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__
zeros_like ones_like empty_like full_like rand_like randn_like
"""
_CASTS = """
to type type_as float half bfloat16 double int long bool contiguous clone detach cpu cuda
"""
CHANNELS: dict[str, tuple[int, bool]] = {
    **dict.fromkeys(("cat", "concat", "concatenate", "softmax", "log_softmax", "glu", "narrow"), (1, False)),
    **dict.fromkeys(("chunk", "split", "tensor_split", "normalize"), (2, False)),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "max", "min", "logsumexp", "argmax"), (1, True)),
}
"""Function → where its ``dim`` stands, and whether it drops that axis unless told to keep it."""
_SHAPE = """
size dim numel nelement ndimension stride is_contiguous is_floating_point is_complex is_signed element_size get_device
__len__ __hash__ is_inference
"""
_PROPERTIES = """
shape dtype device ndim requires_grad grad_fn is_leaf layout is_cuda is_sparse is_quantized is_meta is_mps is_cpu is_xpu
is_nested is_mkldnn itemsize nbytes names output_nr _version grad
"""
_NEVER = """
__setitem__ __set__ __delitem__ register_hook retain_grad requires_grad_ data_ptr set_ resize_
"""

SITE_BY_SITE = tuple(_SITE_BY_SITE.split())
"""What acts on every site and channel alone, with operands that broadcast."""
CASTS = tuple(_CASTS.split())
"""What changes type, place or history of every value."""
SHAPE = tuple(_SHAPE.split())
"""What tells of a map as a whole, not of its values."""
PROPERTIES = tuple(_PROPERTIES.split())
"""The same, as attributes."""
NEVER = tuple(_NEVER.split())
"""What would change a map, or listen to it, past its rows."""
