#!/usr/bin/env python3
"""Writes rows.json: what transformers 5.23.0 with jinja2 3.1.6 renders for the templates here and for pieces of Jinja.

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
PIECES = [
    # white space
    "a\n{% if true %}\nb\n{% endif %}\nc\n", "a\n  {% if true %}  \n  b\n  {% endif %}\nc\n\n", "  {% if true %}x{% endif %}  ", "  {%+ if true %}x{%+ endif %}  ", "a {%- if true -%} b {%- endif -%} c",
    "a\n\n {%- if true -%}\n\n b{% endif %}", "x {{- 'y' -}} z", "  {{ 'y' }}  \n{{ 'z' }}\n", "x\n  {# c #}\n  y", "x {#- c -#} y", "x\n {#+ c +#}\n y", "{# a\nb #}z", "{% if true +%}\nx{% endif %}",
    "a\n\t{% set x = 1 %}\t\n{{ x }}\n", "{{ 'a' }}\n{% set x = 1 %}\nb", "{{ 'a' }}  {% set x = 1 %}\nb", "\n\n{% set x = 1 %}\n\n", "a\r\n{% set x = 1 %}\r\nb\r\n", "{% set x = 1 -%}\n\n  {% set y = 2 %}\nz", "\u00a0{%- set x = 1 -%}\u2003b",
    "{% raw %}{{ x }}{% endraw %}", "a\n{% raw %}\n {% x %}\n{% endraw %}\nb", "a {%- raw -%} {{ x }} {%- endraw -%} b", "{% raw %}{% if %}{# {{{% endraw %}", "{% rawx %}", "{% raw %}x",
    "{{ 'a' if\n true\n else 'b' }}", "{%- if true\n and true -%}\nx\n{%- endif -%}", "{{ '}}' }}{{ '%}' }}", "{{ {'a': {'b': 1}}.a.b }}", "{{{'a': 1}}}", "{ {% if true %}%}{% endif %} }", "{", "a{", "{{", "{%", "{#", "{{ 1", "{% if", "{{ ' }}", "}} %} #}",
    # strings and numbers
    r"{{ 'a\nb\t\\ \' \" \x41 \u00e9 \U0001f600 \101 \q' }}", "{{ 'a' 'b' \"c\" }}", "{{ 'multi\nline' }}", "{{ 1_000 }} {{ 1.5 }} {{ 1e3 }} {{ 2.50e-3 }} {{ 1e20 }} {{ 007 }}", "{{ 1.0 }} {{ 1e16 }} {{ 0.0001 }} {{ 0.00001 }} {{ 123456789.25 }}",
    # operators
    "{{ 1 + 2 * 3 - 4 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 8 / 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ -2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 7 % -3 }}",
    "{{ 'a' + 'b' }} {{ 'ab' * 3 }} {{ 'ab' * -1 }} {{ [1] + [2] }} {{ [1, 'a'] * 2 }} {{ 'a' ~ 1 ~ none ~ true ~ 1.5 }}", "{{ 'a' + 1 }}", "{{ 1 + 'a' }}", "{{ [1] + (2,) }}", "{{ 'a' - 'b' }}", "{{ 1 / 0 }}", "{{ 1 // 0 }}", "{{ 1 % 0 }}", "{{ true + 1 }}", "{{ none + 1 }}", "{{ nothing + 1 }}", "{{ nothing ~ 1 }}", "{{ -'a' }}", "{{ - 3 }} {{ + 3 }} {{ - - 3 }} {{ -true }}",
    "{{ 1 < 2 }} {{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ 1 == 1.0 }} {{ true == 1 }} {{ '1' == 1 }} {{ [1, 2] == [1, 2] }} {{ {'a': 1} == {'a': 1.0} }} {{ (1,) == [1] }} {{ none == false }} {{ 1 != 2 }} {{ 2 >= 2 <= 3 }}", "{{ 1 < 'a' }}", "{{ none < 1 }}",
    "{{ 'a' in 'cat' }} {{ 'a' not in 'cat' }} {{ 1 in [1, 2] }} {{ 'k' in {'k': 1} }} {{ 3 in (1, 2) }} {{ 'a' in nothing }} {{ not 1 in [2] }}", "{{ 1 in 'a' }}", "{{ 1 in 2 }}", "{{ 1 in none }}",
    "{{ none or 'x' }} {{ '' or 0 }} {{ 'a' and 'b' }} {{ 0 and 1 }} {{ not '' }} {{ not not 1 }} {{ 1 and 2 or 3 }} {{ false or none or [] }}", "{{ 'x' if false }}|{{ 'x' if true else 'y' }}|{{ 'a' if 0 else 'b' if 0 else 'c' }}|{{ ('x' if false) is defined }}",
    "{{ (1, 2) }} {{ (1,) }} {{ () }} {{ 1, 2 }} {{ [] }} {{ {} }} {{ [1, 'a', none, true, 1.5, {'k': [1]}] }} {{ {'a': 'it\\'s', 'b': \"q\\\"\"} }} {{ ['\\n\\t\\\\\u00e9\\x00\u200b'] }}",
    # names, attributes, subscripts, slices
    "{{ nothing }}|{{ nothing is defined }}|{{ messages[0].nothing }}|{{ messages[0]['nothing'] is undefined }}", "{{ nothing.x }}", "{{ nothing['x'] }}", "{{ nothing() }}", "{{ messages[0].nothing.x }}", "{{ messages[99] is defined }}", "{{ messages[0].role[0] }} {{ messages[-1].role }} {{ 'abc'[1] }} {{ [1, 2, 3][-1] }} {{ (1, 2).0 }} {{ 'abc'[9] is defined }}", "{{ none.x is defined }} {{ (1).x is defined }}", "{{ messages['role'] is defined }}",
    "{{ 'abcdef'[1:3] }} {{ 'abcdef'[::-1] }} {{ 'abcdef'[::2] }} {{ 'abcdef'[-2:] }} {{ 'abcdef'[:-2] }} {{ [1, 2, 3][1:] }} {{ [1, 2, 3][::-1] }} {{ 'abc'[5:] }} {{ 'abc'[-9:9] }} {{ 'abcdef'[4:1:-1] }} {{ 'abcdef'[:2:-2] }} {{ (1, 2, 3)[:2] }} {{ '\u00e9\u4f60\U0001f600'[1:] }}", "{{ 'abc'[::0] }}", "{{ 1[1:] }}", "{{ 'abc'['a':] }}", "{{ {'items': 5}['items'] }} {{ {'a': 5}.items() | list }} {{ {'items': 5}.items is callable }}",
    # set and scope
    "{% set x = 1 %}{% for i in [1, 2] %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}", "{% if true %}{% set x = 3 %}{% endif %}{{ x }}", "{% set ns = namespace(a=1, b='x') %}{% for i in [1, 2] %}{% set ns.a = ns.a + i %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c is defined }}", "{% set a, b = 1, 2 %}{{ a }}{{ b }}", "{% set (a, b) = [3, 4] %}{{ a }}{{ b }}", "{% set a, b = 1 %}", "{% set a, b = [1] %}", "{% set x %}block {{ 1 + 1 }}{% endset %}{{ x|upper }}", "{% set x = 1, 2 %}{{ x }}", "{% set x.y = 1 %}", "{% set d = {'a': 1} %}{% set d.a = 2 %}", "{% set loop = 1 %}{{ loop }}",
    "{% with a = 1, b = 2 %}{{ a }}{{ b }}{% set c = 3 %}{% endwith %}{{ a is defined }}{{ c is defined }}", "{% set ns = namespace({'q': 1}, z=2) %}{{ ns.q }}{{ ns.z }}", "{% generation %}{% set x = 1 %}x{{ x }}{% endgeneration %}{{ x is defined }}",
    # for
    "{% for x in [1, 2, 3] %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.previtem }}{{ loop.nextitem }}|{% endfor %}", "{% for x in [1, 2, 3, 4] if x is odd %}{{ loop.index }}{{ x }}{{ loop.last }}{% endfor %}", "{% for x in [] %}a{% else %}none{% endfor %}", "{% for x in [1] %}a{% else %}none{% endfor %}", "{% for x in [1] if x > 1 %}a{% else %}none{% endfor %}", "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "{% for k in {'a': 1, 'b': 2} %}{{ k }}{% endfor %}", "{% for c in 'h\u00e9' %}{{ c }},{% endfor %}", "{% for x in nothing %}{{ x }}{% endfor %}ok", "{% for x in none %}{% endfor %}", "{% for x in 5 %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}",
    "{% for x in [1, 2, 3] %}{% if x == 2 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% for x in [1, 2, 3] %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% else %}none{% endfor %}", "{% break %}", "{% for x in [1, 2] %}{% for y in [3, 4] %}{% if y == 4 %}{% break %}{% endif %}{{ x }}{{ y }}{{ loop.index }}{% endfor %}{{ loop.index }}{% endfor %}", "{% for x in [1, 2, 3] %}{{ loop.cycle('a', 'b') }}{% endfor %}", "{{ loop is defined }}", "{% for i in range(3) %}{{ i }}{% endfor %}{{ range(1, 7, 2)|list }}{{ range(5, 0, -2)|list }}{{ range(0)|list }}", "{{ range(1000000)|list|length }}", "{{ range() }}", "{% for x in [1, 2] %}{% set x = 9 %}{{ x }}{% endfor %}",
    # macros
    M + "{{ f('q') }}{{ f('q', false) }}{{ f(1, c=2) }}{{ f() }}{{ f(b=1, a=2)|length }}", M + "{{ f(1, 2, 3, 4) }}", M + "{{ f(d=1) }}", "{% macro f() %}{{ x }}{% endmacro %}{% set x = 5 %}{{ f() }}", "{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}", "{% macro f(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ f(1) }}", "{% macro f() %} a {% endmacro %}[{{ f() }}][{{ f()|trim }}]{{ f is callable }}", "{% if true %}{% macro f() %}m{% endmacro %}{% endif %}{{ f() }}", "{% set y = 1 %}{% macro f() %}{% set y = 2 %}{{ y }}{% endmacro %}{{ f() }}{{ y }}",
    # filters
    "{{ ' a '|trim }}|{{ 'xxaxx'|trim('x') }}|{{ messages|length }}|{{ 'h\u00e9'|length }}|{{ {'a': 1}|count }}|{{ nothing|length }}", "{{ 5|length }}", "{{ 'aBc d\u00e9f'|upper }} {{ 'ABC'|lower }} {{ 'hELLO wORLD'|title }} {{ 'hELLO wORLD'|capitalize }} {{ 1|string + '1' }} {{ 'x'|safe }} {{ ''|capitalize }}", "{{ nothing|default('d') }} {{ ''|default('d') }} {{ ''|default('d', true) }} {{ none|d('x') }} {{ none|d('x', true) }} {{ nothing|default }}",
    "{{ 'abc'|list }} {{ {'a': 1}|list }} {{ {'a': 1}|items|list }} {{ nothing|items|list }}", "{{ [1, 2]|first }} {{ [1, 2]|last }} {{ 'ab'|first }} {{ []|first is defined }} {{ {'k': 1}|first }}", "{{ 'abc'|reverse }} {{ [1, 2]|reverse|list }}", "{{ ['a', 1, none]|join('-') }} {{ 'abc'|join(',') }} {{ messages|join(',', attribute='role') }} {{ []|join }}", "{{ 'aXbX'|replace('X', 'y') }} {{ 'aXbX'|replace('X', 'y', 1) }} {{ 'ab'|replace('', '-') }}",
    "{{ '5'|int + 1 }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ 3.9|int }} {{ '3.9'|int }} {{ ' 4 '|int }} {{ none|int }} {{ '1.5'|float }} {{ 2|float }} {{ 'x'|float }} {{ -3|abs }} {{ -2.5|abs }}", "{{ [1, 0, 2]|select|list }} {{ [1, 2, 3]|select('odd')|list }} {{ [1, 2, 3]|reject('odd')|list }} {{ [1, 2, 3]|select('gt', 1)|list }} {{ messages|selectattr('role', 'equalto', 'user')|list|length }} {{ messages|rejectattr('role', 'in', ['user'])|map(attribute='role')|list }} {{ messages|selectattr('nothing')|list }}", "{{ messages|map(attribute='role')|join(',') }} {{ ['a ', ' b']|map('trim')|list }} {{ messages|map(attribute='x', default=0)|list }} {{ ['a']|map('upper')|first }}",
    "{{ {'a': 1, 'b': [1.5, none, true, 'q\"<>&\\n\u00e9\\x01\u2028'], 'c': {}}|tojson }} {{ []|tojson }} {{ 'x'|tojson }}", "{{ {'b': 1, 'a': [1, {'c': []}]}|tojson(indent=2) }}", "{{ {'b': 1, 'a': 2}|tojson(sort_keys=true) }}", "{{ nothing|tojson }}", "{{ messages[0]|tojson }}", "{{ 'a'|nosuch }}", "{{ 'a' is nosuch }}", "{{ 'a'|upper|lower|length + 1 }}", "{{ -1|abs }} {{ 1 + 2|string|length }} {{ 'a' ~ 'b'|upper }}", "{{ 'a'|trim(1) }}",
    # tests
    "{{ 'a' is string }}{{ 1 is string }}{{ 1 is number }}{{ true is number }}{{ 1.5 is float }}{{ 1 is integer }}{{ true is integer }}{{ true is boolean }}{{ none is none }}{{ true is true }}{{ 1 is true }}{{ false is false }}{{ {} is mapping }}{{ [] is iterable }}{{ 'a' is iterable }}{{ 1 is iterable }}{{ [] is sequence }}{{ {} is sequence }}{{ nothing is iterable }}{{ range is callable }}",
    "{{ 3 is odd }}{{ 3 is even }}{{ 4 is divisibleby 2 }}{{ 4 is divisibleby(3) }}{{ 1 is eq 1 }}{{ 1 is ne 1 }}{{ 2 is gt 1 }}{{ 2 is ge(2) }}{{ 1 is lt 2 }}{{ 1 is le 0 }}{{ 1 is in [1] }}{{ 'a' is equalto 'a' }}", "{{ 'a' is not string }}{{ nothing is not defined }}{{ not nothing is defined }}{{ 1 is string or true }}{{ 1 is number and 2 is number }}{{ 'y' if 1 is number else 'n' }}{{ [1] is defined }}", "{% if messages is iterable and messages is not mapping %}y{% endif %}", "{{ 'a' is string is string }}",
    # methods
    "{{ 'a,b,,c'.split(',') }} {{ ' a  b '.split() }} {{ 'a,b,c'.split(',', 1) }} {{ 'abc</think>x'.split('</think>')[-1] }} {{ 'a\\nb\\r\\nc\\n'.splitlines() }} {{ ''.split(',') }} {{ ''.splitlines() }}", "{{ '  a '.strip() }}|{{ ' a '.lstrip() }}|{{ ' a '.rstrip() }}|{{ '\\n\\na\\n'.strip('\\n') }}|{{ 'xyaxy'.strip('yx') }}|{{ '\u3000a\x1f'.strip() }}|", "{{ 'abc'.startswith('a') }}{{ 'abc'.endswith('bc') }}{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.startswith('') }}", "{{ 'aXbX'.replace('X', '') }} {{ 'aXbX'.replace('X', 'y', 1) }} {{ 'aB'.upper() }} {{ 'aB'.lower() }} {{ 'aB cD'.title() }} {{ 'aB'.capitalize() }} {{ 'aXbX'.count('X') }} {{ '\u00e9x'.find('x') }} {{ 'a'.find('b') }} {{ '-'.join(['a', 'b']) }} {{ 'abc'.removeprefix('a') }} {{ 'abc'.removesuffix('c') }}", "{{ {'a': 1}.get('a') }} {{ {'a': 1}.get('b') }} {{ {'a': 1}.get('b', 2) }} {{ {'a': 1, 'b': 2}.keys()|list }} {{ {'a': 1}.values()|list }} {{ dict(a=1, b='x') }} {{ dict({'q': 1}, a=2) }}", "{{ 'a'.nosuch() }}", "{{ 'a'.split(1) }}", "{{ 'a'.split('') }}", "{{ '-'.join([1]) }}", "{{ [].append(1) }}", "{{ 'a'.strip(1) }}",
    # functions and refusals
    "{{ raise_exception('boo') }}", "{{ tools }}{{ documents }}{{ add_generation_prompt }}", "{% include 'x' %}", "{% import 'x' as y %}", "{% extends 'x' %}", "{% unknown %}", "{% if %}{% endif %}", "{% if true %}", "{% endif %}", "{% for x in %}{% endfor %}", "{% for in [1] %}{% endfor %}", "{% else %}", "{{ }}", "{{ 1 2 }}", "{{ (1 }}", "{{ 1) }}", "{{ [1 }}", "{{ a b }}", "{{ 'a' | }}", "{{ .x }}", "{{ a. }}", "{{ a[] }}", "{{ f(a=1, 2) }}", "{{ f(a=1, a=2) }}", "{{ $ }}", "{{ a ? b }}", "{% set %}", "{% set x = %}", "{% set 1 = 2 %}", "{% macro %}{% endmacro %}", "{% if true %}{% endfor %}", "{% if a %}1{% elif b %}2{% elif not c %}3{% else %}4{% endif %}", "{% if false %}1{% elif true %}2{% endif %}", "{{ true }}{{ True }}{{ none }}{{ None }}{{ false }}{{ False }}", "{{ {'a': 1,}.a }}{{ [1,] }}{{ f is defined }}",
]

rng = random.Random(3)
for _ in range(250):  # white space around tags, at random
    out = ""
    for _ in range(rng.randint(2, 7)):
        l, r = rng.choice(["", "", "-", "+"]), rng.choice(["", "", "-"])
        out += rng.choice(["", " ", "\n", "  \n", "\n  ", "x", "x ", " x", "\n\n", "\t", "x\n", "\nx"])
        out += rng.choice(["{%" + l + " set v = 1 " + rng.choice([r, "+"]) + "%}", "{{" + l.replace("+", "") + " 'o' " + r + "}}", "{#" + l + " c " + r + "#}", "{%" + l + " if true " + r + "%}" + rng.choice(["", " ", "\n", "y\n", " y "]) + "{%" + rng.choice(["", "-", "+"]) + " endif " + r + "%}", "{%" + l + " raw " + r + "%}" + rng.choice(["", " ", "\n", "\nz\n  "]) + "{%" + rng.choice(["", "-", "+"]) + " endraw " + r + "%}"])
        out += rng.choice(["", " ", "\n", "\n\n", "  \n", " w", "\n w"])
    PIECES.append(out)


def render(template, chat, prompt, variables):
    try:
        return render_jinja_template(conversations=[chat], chat_template=template, add_generation_prompt=prompt, **variables)[0][0]
    except Exception:
        return None


rows = {"chats": CHATS, "templates": [], "pieces": []}
for path in sorted(glob.glob(os.path.join(HERE, "*.jinja"))):
    source = open(path, newline="").read()
    for (name, chat), prompt, variables in itertools.product(CHATS.items(), [False, True], VARIABLES):
        rows["templates"].append([os.path.basename(path), name, prompt, variables, render(source, chat, prompt, variables)])
for piece in PIECES:
    rows["pieces"].append([piece, render(piece, CHATS["turns"], True, {})])
with open(os.path.join(HERE, "rows.json"), "w") as f:
    f.write("{\n" + ",\n".join(f'"{k}": ' + (json.dumps(v) if isinstance(v, dict) else "[\n" + ",\n".join(map(json.dumps, v)) + "\n]") for k, v in rows.items()) + "\n}\n")
