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

# What templates of the families write that gonja does not read as Jinja does, and what only looks like it.
EXPRESSIONS = [
    "{% for m in messages[::-1] %}{{ loop.index0 }}{{ m.role }} {% endfor %}",
    "{% for m in messages[ : : - 1 ] %}{{ m.role }} {% endfor %}",
    "{% for m in messages | reverse %}{{ m.role }} {% endfor %}",
    "{{ 'stressed\u00e9'[::-1] }}", "{{ 'desserts' | reverse }}", "{{ '[::-1] x[-1] loop.previtem' }}", "{# x[::-1] #}-", "[::-1] {{ 1 }}",
    "{{ messages[-1].role }}{{ messages[::-1][0].role }}{{ (messages[::-1])[-1].role }}",
    "{{ messages[-1]['content'][-1].text }}",
    "{{ 'one'.split(',')[-1] }}{{ 'a,b'.split(',')[-1].strip() }}{{ \"it's [-1]\".split(\"'\")[-1] }}",
    "{{ [][-1] is defined }}{{ [7][-1] }}{{ [[1, 2], [3]][-1][-1] }}",
    "{% if not messages[-1].role == 'user' %}no{% endif %}{{ messages|length - 1 }}{{ [3, 4][1] - 1 }}",
    "{% for m in messages %}{{ loop.previtem.role if loop.previtem else '-' }}{{ loop.nextitem.role if loop.nextitem else '-' }} {% endfor %}",
    "{% for m in messages %}{{ loop.previtem is defined }}{{ loop.nextitem is defined }} {% endfor %}",
    "[{{ ' \t\r\n\u00a0x\u2003\x1c\n' | trim }}][{{ 'xxaxx' | trim('x') }}][{{ ' x ' | trim(chars=' ') }}][{{ missing | trim }}][{{ 12 | trim }}]",
    "[{{ ' \t\nx\n '.strip() }}][{{ ' \nx\n'.lstrip() }}][{{ 'x\n '.rstrip() }}][{{ '\nx\n'.strip('\n') }}]",
    "{% for k, v in {'b': 1, 'a': 'x'} | items %}{{ k }}={{ v }};{% endfor %}{% for k, v in missing | items %}{{ k }}{% endfor %}",
    "{{ missing is defined }}{{ missing is undefined }}{{ none is none }}{% if missing %}yes{% else %}no{% endif %}",
    "{{ missing is true }}{{ missing is false }}{{ false is false }}{{ true is true }}{{ 0 is false }}",
    "{{ missing | default('d') }}{{ '' | default('e', true) }}{{ messages[0].name is defined }}",
    "{{ 'a' ~ 1 ~ missing ~ 'b' }}{{ 'x' in 'xyz' }}{{ 'role' in messages[0] }}{{ 'tool' not in messages[0] }}",
    "{{ messages[0].content is string }}{{ messages[0].content is iterable }}{{ messages[0].content is mapping }}{{ messages[0] is mapping }}",
    "{{ messages[1:] | length }}{{ messages[:1] | length }}{{ messages[:-1] | length }}{{ 'abcdef'[1:3] }}",
    "{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
    "{{ messages[0].role | upper }}{{ 'A' | lower }}{{ ' a b '.split() | join('-') }}{{ 'abc'.startswith('a') }}{{ 'a-b-'.replace('-', '+') }}{{ 'a-b-'.replace('-', '', 1) }}",
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + loop.index %}{% endfor %}{{ ns.n }}",
    "{% for m in messages if m.role == 'user' %}{{ loop.index }}{{ loop.last }}{% else %}none{% endfor %}",
    "{{ messages[9] is defined }}{{ messages[-9] is defined }}{{ messages[-2].role }}", "{{ 'a b  c'.split()[-3] }}{{ 'a,b,c'.split(',', 1)[-1] }}",
    "{{ '%s-%d' | format('a', 3) }}{{ [1, 2, 3] | sum }}{{ 7 // 2 }}{{ 7 % 4 }}{{ 1 if false }}",
    "{% if messages[0]['role'] == 'system' %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}{{ rest | length }}",
]
CHATS_OF_EXPRESSIONS = ["page", "system", "tool"]


def render(template, chat, prompt, variables):
    try:
        return render_jinja_template(conversations=[chat], chat_template=template, add_generation_prompt=prompt, **variables)[0][0]
    except Exception:
        return None


rows = {"chats": CHATS, "templates": [], "expressions": []}
for source, name in itertools.product(EXPRESSIONS, CHATS_OF_EXPRESSIONS):
    rows["expressions"].append([source, name, render(source, CHATS[name], False, {})])
for path in sorted(glob.glob(os.path.join(HERE, "*.jinja"))):
    source = open(path, newline="").read()
    for (name, chat), prompt, variables in itertools.product(CHATS.items(), [False, True], VARIABLES):
        rows["templates"].append([os.path.basename(path), name, prompt, variables, render(source, chat, prompt, variables)])
with open(os.path.join(HERE, "rows.json"), "w") as f:
    f.write("{\n" + ",\n".join(f'"{k}": ' + (json.dumps(v) if isinstance(v, dict) else "[\n" + ",\n".join(map(json.dumps, v)) + "\n]") for k, v in rows.items()) + "\n}\n")
