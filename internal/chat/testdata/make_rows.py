#!/usr/bin/env python3
"""Writes rows.json: what transformers 5.23.0 with jinja2 3.1.6 renders for the templates here.

An expected text of null means that jinja2 refuses. The templates here have the shape of those that come with Qwen2-VL,
Qwen3-VL and Qwen3.5 checkpoints.
"""
import glob, itertools, json, os, random
from transformers.utils.chat_template_utils import render_jinja_template

HERE = os.path.dirname(os.path.abspath(__file__))
IMAGE = {"type": "image", "image": "<image>"}


def say(role, *parts):
    return {"role": role, "content": [IMAGE if p is None else {"type": "text", "text": p} for p in parts]}


CHATS = {
    "page": [say("user", None, "qwenvl markdown")],
    "system": [say("system", "Be brief."), say("user", None, "Read.", None, " And this?")],
    "turns": [say("user", "Hello {{ world }} {% if %} \u00e9\u4f60\U0001f600 'q' \"d\""), say("assistant", "<think>\nhm\n</think>\n\nHi"), say("user", None, "  more \n"), say("assistant", "done\n")],
    "tool": [say("user", "a"), say("assistant", "b"), say("tool", "c"), say("tool", "d"), say("assistant", "e"), say("tool", "f")],
    "empty": [], "nothing": [say("user")], "late system": [say("user", "a"), say("system", "b")], "image in system": [say("system", None)],
}
VARIABLES = [{}, {"add_vision_id": True}, {"enable_thinking": False, "preserve_thinking": True}]

M = "{% macro f(a, b=true, c='x') %}[{{ a }}{{ b }}{{ c }}]{% endmacro %}"


def render(template, chat, prompt, variables):
    try:
        return render_jinja_template(conversations=[chat], chat_template=template, add_generation_prompt=prompt, **variables)[0][0]
    except Exception:
        return None


rows = {"chats": CHATS, "templates": []}
for path in sorted(glob.glob(os.path.join(HERE, "*.jinja"))):
    source = open(path, newline="").read()
    for (name, chat), prompt, variables in itertools.product(CHATS.items(), [False, True], VARIABLES):
        rows["templates"].append([os.path.basename(path), name, prompt, variables, render(source, chat, prompt, variables)])
with open(os.path.join(HERE, "rows.json"), "w") as f:
    f.write("{\n" + ",\n".join(f'"{k}": ' + (json.dumps(v) if isinstance(v, dict) else "[\n" + ",\n".join(map(json.dumps, v)) + "\n]") for k, v in rows.items()) + "\n}\n")
