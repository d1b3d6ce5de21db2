import { ok, rejects, strictEqual, throws } from "node:assert/strict";
import { type ChatMessage, ChatTemplate } from "../../lib/tokenizer/chat_template.ts";
import { SOON_MS } from "../time_limits.ts";

const MESSAGES: readonly ChatMessage[] = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Hi" },
  { role: "assistant", content: "Hello." },
  { role: "user", content: "Why?" },
];

/** Llama 3's format, as its model card shows it. */
const LLAMA_3 = `{{ bos_token }}{% for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' -}}
{{- message['content'] | trim + '<|eot_id|>' -}}
{% endfor %}
{%- if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}`;

/** Llama 2's format, as its paper's reference code puts it together. */
const LLAMA_2 = `{% if messages[0]['role'] == 'system' %}
{% set rest = messages[1:] %}{% set system = '<<SYS>>\\n' + messages[0].content + '\\n<</SYS>>\\n\\n' %}
{% else %}{% set rest = messages %}{% set system = '' %}{% endif %}
{%- for message in rest -%}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
{{ raise_exception('roles must alternate') }}{%- endif -%}
{%- if message.role == 'user' -%}
{{ bos_token + '[INST] ' + (system if loop.first else '') + message.content + ' [/INST]' }}
{%- else -%}{{ ' ' + message.content + ' ' + eos_token }}{%- endif -%}
{%- endfor -%}`;

Deno.test("a template in Llama 3's format gives its turns and the header of the answer", async () => {
  const template = await ChatTemplate.parse(LLAMA_3);
  const turn = (role: string, content: string) =>
    `<|start_header_id|>${role}<|end_header_id|>\n\n${content}<|eot_id|>`;
  const turns = "<|begin_of_text|>" + turn("system", "Be brief.") + turn("user", "Hi") +
    turn("assistant", "Hello.") + turn("user", "Why?");
  const bosToken = "<|begin_of_text|>";
  strictEqual(
    template.render(MESSAGES, { bosToken }),
    turns + "<|start_header_id|>assistant<|end_header_id|>\n\n",
  );
  strictEqual(template.render(MESSAGES, { bosToken, addGenerationPrompt: false }), turns);
});

Deno.test("a template in Llama 2's format puts the system message into the first turn", async () => {
  const template = await ChatTemplate.parse(LLAMA_2);
  strictEqual(
    template.render(MESSAGES, { bosToken: "<s>", eosToken: "</s>" }),
    "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Why? [/INST]",
  );
});

Deno.test("what a template says against the messages reaches the user", async () => {
  const template = await ChatTemplate.parse(LLAMA_2);
  throws(
    () => template.render([{ role: "assistant", content: "Hello." }]),
    {
      name: "ConfigError",
      message:
        'Cannot use the model\'s chat template: it refuses the messages: "roles must alternate"',
    },
  );
});

Deno.test("strftime_now tells the day that it is given, in English", async () => {
  const template = await ChatTemplate.parse("{{ strftime_now('%d %b %Y, %A, 100%%') }}");
  const now = new Date(2024, 6, 4, 12);
  strictEqual(template.render([], { now }), "04 Jul 2024, Thursday, 100%");
});

const SMALL = { steps: 10_000, size: 10_000, source: 5_000, depth: 50 };

const HOSTILE: Readonly<Record<string, readonly [string, RegExp]>> = {
  "an endless number of steps": [
    "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{{ i }}{% endfor %}",
    /takes more than 10000 steps/,
  ],
  "a huge range": ["{% for i in range(1000000000) %}{% endfor %}", /at most 10000 was wanted/],
  "a text that doubles": [
    "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
    /makes more than 10000 characters/,
  ],
  "no end of a block": ["{% for m in messages %}", /chat template/],
  "no Jinja": ["{{ ", /chat template/],
  "a long source": ["x".repeat(5_001), /5001 characters, at most 5000/],
  "deep brackets": [`{{ ${"(".repeat(60)}1${")".repeat(60)} }}`, /more than 50 deep/],
  "deep blocks": [
    `${"{% if true %}".repeat(300)}x${"{% endif %}".repeat(100)}`,
    /chat template/,
  ],
  "an unknown function": ["{{ open('/etc/passwd') }}", /chat template/],
};
for (const [name, [source, message]] of Object.entries(HOSTILE)) {
  Deno.test(`a template with ${name} is refused`, async () => {
    const start = performance.now();
    await rejects(
      async () => (await ChatTemplate.parse(source, SMALL)).render(MESSAGES),
      (error: Error) => error.name === "ConfigError" && message.test(error.message),
    );
    ok(performance.now() - start < SOON_MS);
  });
}

Deno.test("a template reaches nothing of the program", async () => {
  for (const name of ["Deno", "globalThis", "constructor", "messages.constructor", "__proto__"]) {
    const template = await ChatTemplate.parse(`{{ ${name} is defined and ${name} is not none }}`);
    strictEqual(template.render(MESSAGES), "false", name);
  }
});

// Wanted: what Python's strftime gives for 2026-02-03 15:04:05, and five past midnight.
for (
  const [format, wanted] of [
    ["%d %b %Y", "03 Feb 2026"],
    ["%-d/%-m/%y", "3/2/26"],
    ["%A, %B %e", "Tuesday, February  3"],
    ["%I:%M %p", "03:04 PM"],
    ["%j", "034"],
    ["%F %T", "2026-02-03 15:04:05"],
    ["%-I", "3"],
    ["%D", "02/03/26"],
    ["%R", "15:04"],
    ["%h", "Feb"],
  ] as const
) {
  Deno.test(`strftime_now knows ${format}`, async () => {
    const template = await ChatTemplate.parse(`{{ strftime_now('${format}') }}`);
    const now = new Date(2026, 1, 3, 15, 4, 5);
    strictEqual(template.render([], { now }), wanted);
  });
}

Deno.test("the hour after midnight is the twelfth, and 0 without padding", async () => {
  const template = await ChatTemplate.parse("{{ strftime_now('%I:%M %p|%-H') }}");
  strictEqual(template.render([], { now: new Date(2026, 1, 3, 0, 4, 5) }), "12:04 AM|0");
});

Deno.test("tools and documents are there and none, as in transformers", async () => {
  const template = await ChatTemplate.parse(
    "{{ tools is defined }} {{ tools is none }} {{ documents is none }}|" +
      "{% if tools is not none %}T{% endif %}|{{ custom is defined }}",
  );
  // Jinja in JavaScript writes its booleans small.
  strictEqual(template.render([]).toLowerCase(), "true true true||false");
});

Deno.test("strip takes the characters that are named, as Python does, and spaces without a name", async () => {
  const text = "set x = ' \\n a-\\n '";
  for (
    const [call, wanted] of [
      ["x.lstrip(' \\n')", "a-\n "],
      ["x.lstrip('\\n')", " \n a-\n "],
      ["x.rstrip(' ')", " \n a-\n"],
      ["x.strip(' \\n-')", "a"],
      ["x.strip()", "a-"],
      ["('<a>' + x).lstrip('><')", "a> \n a-\n "],
    ] as const
  ) {
    const template = await ChatTemplate.parse(`{% ${text} %}[{{ ${call} }}]`);
    strictEqual(template.render([]), `[${wanted}]`, call);
  }
});
