"""Attention whose way back is of plain matrix products where there are few tokens: on a CPU torch's own takes two to four times as long then."""
import functools

import torch
import torch.nn.functional as F

FEW = 2000  # tokens up to which it is faster (on an Intel server with AMX; 400 on an AMD server)

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu


class _Plain(torch.autograd.Function):
    """With a mask: the probabilities are kept, which is faster than to make them twice."""

    @staticmethod
    def forward(ctx, q, k, v, mask):
        p = torch.softmax(((q * q.shape[-1] ** -0.5) @ k.mT).add_(mask), -1)
        ctx.save_for_backward(q, k, v, p)
        return p @ v

    @staticmethod
    def backward(ctx, g):
        q, k, v, p = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        d = torch._softmax_backward_data(g @ v.mT, p, -1, p.dtype)
        return (d @ k).mul_(scale), d.mT @ (q * scale), p.mT @ g, None


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx, q, k, v):
        o, lse = _flash(q, k, v)
        ctx.save_for_backward(q, k, v, o, lse)
        return o

    @staticmethod
    def backward(ctx, g):
        q, k, v, o, lse = ctx.saved_tensors
        scale = q.shape[-1] ** -0.5
        s = (q * scale) @ k.mT
        p = s.sub_(lse.to(s.dtype).unsqueeze(-1)).exp_()
        d = (g @ v.mT).sub_((g * o).sum(-1, keepdim=True)).mul_(p)
        return (d @ k).mul_(scale), d.mT @ (q * scale), p.mT @ g


@functools.lru_cache(64)
def _causal(n, dtype):
    return torch.zeros(n, n, dtype=dtype).masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -1e9)


def attend(q, k, v, mask=None, causal=False):
    """q [b, h, m, d], k and v [b, h, n, d], mask [m, n] to be added to the scores."""
    n = k.shape[2]
    q, k = q.to(v.dtype), k.to(v.dtype)  # the rotation made them wider
    if n > FEW or not torch.is_grad_enabled():
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal and q.shape[2] > 1)
    if causal:
        mask = _causal(n, q.dtype)
    if mask is None:
        return _Attention.apply(q, k, v)
    return _Plain.apply(q, k, v, mask.to(q.dtype))
