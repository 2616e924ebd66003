"""The forward pass of transformers' Qwen3VLForConditionalGeneration for equal grey pages, in plain torch, with the extra
losses of training. Parameter names are those of the Hugging Face checkpoint ("model." in front)."""
import math

import torch
import torch.nn as nn
import torch.nn.functional as F

from attention import attend
from data import CELL, SLOTS
from text import CLASSES

PATCH, MERGE = 16, 2
TEXT = dict(vocab_size=263, hidden_size=192, intermediate_size=512, num_hidden_layers=5, num_attention_heads=6, num_key_value_heads=3, head_dim=32)
VISION = dict(depth=5, hidden_size=128, intermediate_size=384, num_heads=4, num_position_embeddings=1024)
SECTION, THETA = (6, 5, 5), 10000.0
GUIDED = {1: (0,), 2: (0, 2), 3: (0, 2, 4), 4: (0,)}  # layer -> heads whose attention is shown where to look


class VisionBlock(nn.Module):
    def __init__(self, d, ff):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)
        self.attn = nn.ModuleDict(dict(qkv=nn.Linear(d, 3 * d), proj=nn.Linear(d, d)))
        self.mlp = nn.ModuleDict(dict(linear_fc1=nn.Linear(d, ff), linear_fc2=nn.Linear(ff, d)))

    def forward(self, x, cos, sin, heads):
        b, n, d = x.shape
        q, k, v = self.attn["qkv"](self.norm1(x)).view(b, n, 3, heads, d // heads).permute(2, 0, 3, 1, 4)
        o = attend(rotate(q, cos, sin), rotate(k, cos, sin), v)
        x = x + self.attn["proj"](o.transpose(1, 2).reshape(b, n, d))
        return x + self.mlp["linear_fc2"](F.gelu(self.mlp["linear_fc1"](self.norm2(x)), approximate="tanh"))


class Merger(nn.Module):
    def __init__(self, d, out, post):
        super().__init__()
        self.post, self.d4 = post, 4 * d
        self.norm = nn.LayerNorm(4 * d if post else d, eps=1e-6)
        self.linear_fc1, self.linear_fc2 = nn.Linear(4 * d, 4 * d), nn.Linear(4 * d, out)

    def forward(self, x):
        b = x.shape[0]
        x = self.norm(x.reshape(b, -1, self.d4)) if self.post else self.norm(x).reshape(b, -1, self.d4)
        return self.linear_fc2(F.gelu(self.linear_fc1(x)))


class RMSNorm(nn.Module):
    def __init__(self, d):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight.to(x.dtype), 1e-6)


def rotate(x, cos, sin):
    h = x.shape[-1] // 2
    cos, sin = cos.to(x.dtype), sin.to(x.dtype)  # as transformers does in bfloat16
    return x * cos + torch.cat((-x[..., h:], x[..., :h]), -1) * sin


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        d, hd, h, kv, ff = c["hidden_size"], c["head_dim"], c["num_attention_heads"], c["num_key_value_heads"], c["intermediate_size"]
        self.h, self.kv, self.hd = h, kv, hd
        lin = lambda i, o: nn.Linear(i, o, bias=False)
        self.self_attn = nn.ModuleDict(dict(q_proj=lin(d, h * hd), k_proj=lin(d, kv * hd), v_proj=lin(d, kv * hd), o_proj=lin(h * hd, d), q_norm=RMSNorm(hd), k_norm=RMSNorm(hd)))
        self.mlp = nn.ModuleDict(dict(gate_proj=lin(d, ff), up_proj=lin(d, ff), down_proj=lin(ff, d)))
        self.input_layernorm, self.post_attention_layernorm = RMSNorm(d), RMSNorm(d)

    def forward(self, x, cos, sin, tail=0, mask=None, guide=None, cache=None):
        """tail > 0: only the last tail rows ask (the last layer). guide: (heads, first row, where [b, t, 2]) -> loss."""
        a = self.self_attn
        b, n, d = x.shape
        y = self.input_layernorm(x)
        k = rotate(a["k_norm"](a["k_proj"](y).view(b, n, self.kv, self.hd)).transpose(1, 2), cos, sin)
        v = a["v_proj"](y).view(b, n, self.kv, self.hd).transpose(1, 2)
        if tail:
            y, x, cos, sin = y[:, -tail:], x[:, -tail:], cos[-tail:], sin[-tail:]
        q = rotate(a["q_norm"](a["q_proj"](y).view(b, -1, self.h, self.hd)).transpose(1, 2), cos, sin)
        if cache is not None:
            if "k" in cache:
                k, v = torch.cat((cache["k"], k), 2), torch.cat((cache["v"], v), 2)
            cache["k"], cache["v"] = k, v
        g = self.h // self.kv
        kk, vv = k.repeat_interleave(g, 1), v.repeat_interleave(g, 1)
        o = attend(q, kk, vv, mask, causal=mask is None)
        loss = None
        if guide is not None:
            heads, t, where, first, mask_g = guide
            hs = list(heads)
            s = q[:, hs, -t:] @ kk[:, hs].transpose(-1, -2) * self.hd**-0.5 + mask_g
            z = torch.logsumexp(s, -1)
            ok = (where[..., 0] >= 0)[:, None].expand(-1, len(hs), -1)
            w = where.clamp(min=0)[:, None].expand(-1, len(hs), -1, -1) + first
            got = torch.gather(s, -1, w)
            same = where[..., 0] == where[..., 1]
            extra = got[..., 1] + torch.where(same, -1e4, 0.0)[:, None]
            loss = (z - torch.logaddexp(got[..., 0], extra))[ok].mean()
        x = x + a["o_proj"](o.transpose(1, 2).reshape(b, -1, self.h * self.hd))
        y = self.post_attention_layernorm(x)
        m = self.mlp
        return x + m["down_proj"](F.silu(m["gate_proj"](y)) * m["up_proj"](y)), loss


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        v, t = VISION, TEXT
        d = v["hidden_size"]
        vis = dict(
            pos_embed=nn.Embedding(v["num_position_embeddings"], d),
            blocks=nn.ModuleList([VisionBlock(d, v["intermediate_size"]) for _ in range(v["depth"])]),
            merger=Merger(d, t["hidden_size"], False),
            deepstack_merger_list=nn.ModuleList([Merger(d, t["hidden_size"], True)]),
            patch=nn.Linear(PATCH * PATCH, d),  # grey: the six equal planes of patch_embed.proj in one
        )
        self.visual = nn.ModuleDict(vis)
        self.language_model = nn.ModuleDict(
            dict(
                embed_tokens=nn.Embedding(t["vocab_size"], t["hidden_size"]),
                layers=nn.ModuleList([Layer(t) for _ in range(t["num_hidden_layers"])]),
                norm=RMSNorm(t["hidden_size"]),
            )
        )
        # Thrown away after training: what a cell shows, read from the merged vision output and from the text tower.
        self.aux = nn.ModuleDict({n: nn.ModuleList([nn.Linear(t["hidden_size"], SLOTS * CLASSES) for _ in range(2)]) for n in ("vision", "text")})
        for n, p in self.named_parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=0.02 if "embed" in n else 0.7 / math.sqrt(p.shape[1]))
            elif n.endswith("bias"):
                nn.init.zeros_(p)
        for l in self.language_model["layers"]:
            l.self_attn["o_proj"].weight.data.mul_(0.3)
            l.mlp["down_proj"].weight.data.mul_(0.3)
        self._tables = {}

    def start_from(self, tensors):
        """Takes the weights of a Hugging Face checkpoint with as many layers or fewer. What it lacks begins by changing nothing:
        added blocks of the vision tower add zero, the extra heads say nothing and push nothing back."""
        own, taken = self.state_dict(), set()
        for k, v in tensors.items():
            k = k.removeprefix("model.")
            if k.startswith("visual.patch_embed.proj."):
                k, v = k.replace("patch_embed.proj", "patch"), v.float().sum((1, 2)).flatten(1) if v.dim() > 1 else v
            own[k].copy_(v)
            taken.add(k)
        for k, v in own.items():
            if k not in taken and (k.startswith("aux.") or k.startswith("visual.blocks.") and ("attn.proj" in k or "linear_fc2" in k)):
                v.zero_()

    def tables(self, h, w, pre, total):
        """Interpolated position rows, vision and text cos/sin, for a page of h x w px and total tokens."""
        k = (h, w, pre)
        if k not in self._tables:
            gh, gw, side = h // PATCH, w // PATCH, int(VISION["num_position_embeddings"] ** 0.5)
            ii, jj = torch.meshgrid(torch.arange(gh), torch.arange(gw), indexing="ij")
            order = lambda a: a.view(gh // 2, 2, gw // 2, 2).permute(0, 2, 1, 3).reshape(-1)
            ii, jj = order(ii), order(jj)
            fh, fw = torch.linspace(0, side - 1, gh)[ii], torch.linspace(0, side - 1, gw)[jj]
            h0, w0 = fh.long(), fw.long()
            h1, w1 = (h0 + 1).clamp(max=side - 1), (w0 + 1).clamp(max=side - 1)
            dh, dw = fh - h0, fw - w0
            idx = torch.stack([h0 * side + w0, h0 * side + w1, h1 * side + w0, h1 * side + w1])
            wt = torch.stack([(1 - dh) * (1 - dw), (1 - dh) * dw, dh * (1 - dw), dh * dw])
            hd = VISION["hidden_size"] // VISION["num_heads"] // 2
            inv = 1.0 / THETA ** (torch.arange(0, hd, 2).float() / hd)
            fr = torch.cat([ii[:, None] * inv, jj[:, None] * inv], -1)
            fr = torch.cat([fr, fr], -1)
            n = (h // CELL) * (w // CELL)
            a, b = torch.meshgrid(torch.arange(h // CELL), torch.arange(w // CELL), indexing="ij")
            head = torch.arange(pre).expand(3, -1)
            vis = torch.stack([torch.zeros(n, dtype=torch.long), a.reshape(-1), b.reshape(-1)]) + pre
            tail = torch.arange(4096).expand(3, -1) + pre + max(h, w) // CELL
            pos = torch.cat([head, vis, tail], 1)
            inv = 1.0 / THETA ** (torch.arange(0, TEXT["head_dim"], 2).float() / TEXT["head_dim"])
            f = pos[..., None] * inv
            t = f[0].clone()
            for dim in (1, 2):
                sl = slice(dim, SECTION[dim] * 3, 3)
                t[:, sl] = f[dim, :, sl]
            t = torch.cat([t, t], -1)
            self._tables[k] = (idx, wt, fr.cos(), fr.sin(), t.cos(), t.sin())
        idx, wt, vc, vs, tc, ts = self._tables[k]
        return idx, wt, vc, vs, tc[:total], ts[:total]

    def see(self, image):
        """image [b, h, w] 0..255 -> merged tokens and deepstack features [b, cells, hidden]."""
        b, h, w = image.shape
        v = self.visual
        x = (image / 127.5 - 1).view(b, h // CELL, 2, PATCH, w // CELL, 2, PATCH).permute(0, 1, 4, 2, 5, 3, 6).reshape(b, -1, PATCH * PATCH)
        idx, wt, cos, sin, _, _ = self.tables(h, w, 0, 0)
        x = v["patch"](x) + (v["pos_embed"](idx) * wt[..., None]).sum(0)
        deep = None
        for i, blk in enumerate(v["blocks"]):
            x = blk(x, cos, sin, VISION["num_heads"])
            if i == 1:
                deep = v["deepstack_merger_list"][0](x)
        return v["merger"](x), deep

    def slots(self, name, x, cells):
        """Cross entropy of a cell's characters; x [b, cells, d], cells [b, cells, 2, SLOTS]."""
        total = 0.0
        for line in range(2):
            t = cells[:, :, line]
            use = (t[..., 0] != -100) if line else ((t[..., 0] != -100) | (torch.rand(t.shape[:2]) < 0.1))
            if line and not use.any():
                continue
            y = self.aux[name][line](x[use]).view(-1, CLASSES)
            total = total + F.cross_entropy(y, t[use].reshape(-1), ignore_index=-100) * (1 if line == 0 else 0.6)
        return total

    def forward(self, image, ids, lab, cells, where, pre, mid):
        """ids [b, t] the prompt's last token and the output fed in (teacher), lab [b, t] what follows; pre, mid: the prompt's
        ids before the page, and after it but for the last."""
        b, h, w = image.shape
        n, t = (h // CELL) * (w // CELL), ids.shape[1]
        lm = self.language_model
        vis, deep = self.see(image)
        emb = lm["embed_tokens"]
        x = torch.cat([emb(pre).expand(b, -1, -1), vis, emb(mid).expand(b, -1, -1), emb(ids)], 1)
        first, total = len(pre), x.shape[1]
        cos, sin = self.tables(h, w, first, total)[4:]
        mask = torch.full((t, total), 0.0).masked_fill(torch.arange(total) > torch.arange(total - t, total)[:, None], -1e9)
        losses = {"see": self.slots("vision", vis, cells)}
        guides = []
        last = len(lm["layers"]) - 1
        for i, l in enumerate(lm["layers"]):
            g = (GUIDED[i], t, where, first, mask) if i in GUIDED else None
            x, gl = l(x, cos, sin, tail=t if i == last else 0, mask=mask if i == last else None, guide=g)
            if gl is not None:
                guides.append(gl)
            if i == 0:
                x = torch.cat([x[:, :first], x[:, first : first + n] + deep, x[:, first + n :]], 1)
            if i == 1:
                losses["cells"] = self.slots("text", x[:, first : first + n], cells)
        y = lm["norm"](x)[lab != -100]
        logits = y @ emb.weight.T
        t_ = lab[lab != -100]
        losses["text"] = F.cross_entropy(logits, t_)
        losses["point"] = torch.stack(guides)
        with torch.no_grad():
            losses["right"] = (logits.argmax(-1) == t_).float().mean()
        return losses

    @torch.no_grad()
    def read(self, image, pre, mid, eos, most):
        """Greedy reading of pages of one size; returns lists of ids."""
        b, h, w = image.shape
        n = (h // CELL) * (w // CELL)
        lm, first = self.language_model, len(pre)
        vis, deep = self.see(image)
        emb = lm["embed_tokens"]
        x = torch.cat([emb(pre).expand(b, -1, -1), vis, emb(mid).expand(b, -1, -1)], 1)
        at, caches = 0, [{} for _ in lm["layers"]]
        out, done = [], torch.zeros(b, dtype=torch.bool)
        for step in range(most):
            total = at + x.shape[1]
            cos, sin = (z[at:] for z in self.tables(h, w, first, total)[4:])
            for i, l in enumerate(lm["layers"]):
                x, _ = l(x, cos, sin, cache=caches[i])
                if i == 0 and at == 0:
                    x[:, first : first + n] += deep
            at = total
            nxt = (lm["norm"](x[:, -1]) @ emb.weight.T).argmax(-1)
            out.append(torch.where(done, eos, nxt))
            done |= nxt == eos
            if done.all():
                break
            x = emb(nxt)[:, None]
        res = torch.stack(out, 1).tolist()
        return [r[: r.index(eos)] if eos in r else r for r in res]


def to_hf(state):
    """Names and shapes of the Hugging Face checkpoint from a state dict of Tiny."""
    out = {}
    for k, v in state.items():
        if k.startswith("aux."):
            continue
        if k == "visual.patch.weight":
            out["model.visual.patch_embed.proj.weight"] = (v / 6).view(-1, 1, 1, PATCH, PATCH).expand(-1, 3, 2, -1, -1).contiguous()
        elif k == "visual.patch.bias":
            out["model.visual.patch_embed.proj.bias"] = v
        else:
            out["model." + k] = v
    return out
