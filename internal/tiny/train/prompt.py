"""The byte tokenizer and the ids around a page: the chat template with one image and the words of the prompt."""
import os

from tokenizers import Tokenizer

CHECKPOINT = os.environ.get("CHECKPOINT", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "checkpoint"))
TOK = Tokenizer.from_file(os.path.join(CHECKPOINT, "tokenizer.json"))
EOT, IS, IE, VS, VE, IP, VP = [TOK.token_to_id(x) for x in ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]]


def encode(s):
    return TOK.encode(s, add_special_tokens=False).ids


def decode(ids):
    return TOK.decode([i for i in ids if i < 256])


PRE = [IS] + encode("user\n") + [VS]


def after(prompt):
    """The ids between the page and the answer."""
    return [VE] + encode(prompt) + [IE] + encode("\n") + [IS] + encode("assistant\n")
