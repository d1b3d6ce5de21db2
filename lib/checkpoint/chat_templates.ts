/**
 * The chat templates that stand beside a model's weights or among their metadata.
 *
 * Hugging Face has them in `chat_template.jinja`, in `chat_template.json` or in
 * `tokenizer_config.json`, there also several by name; GGUF as `tokenizer.chat_template` and
 * `tokenizer.chat_template.NAME`. Llamero puts a `chat_template.jinja` into Meta's folders too.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { ConfigError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import type { GgufValue } from "../formats/gguf_types.ts";
import { InputFile } from "../formats/input_file.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { readJsonFile } from "./json_file.ts";

/** Templates by name; the usual one is `default`. */
export type ChatTemplates = ReadonlyMap<string, string>;

/** The name of the template that is used where none is asked for. */
export const DEFAULT_TEMPLATE = "default";

/** The key of a GGUF file's template; others follow it after a dot. */
const GGUF_KEY = "tokenizer.chat_template";

/** Templates have some kilobytes; what is far larger is something else. */
const LARGEST = 1 << 24;

/** Reads the chat templates of a model; none where it has none. @throws {ConfigError} Where a file is no JSON or too large. */
export function readChatTemplates(source: Checkpoint): ChatTemplates {
  if (source.format === "gguf") return fromGguf(source.metadata);
  const folder = dirname(source.files[0] ?? source.path);
  return source.format === "llama2c" ? new Map() : fromFolder(folder);
}

function fromGguf(metadata: ReadonlyMap<string, unknown>): ChatTemplates {
  const templates = new Map<string, string>();
  for (const [key, value] of metadata as ReadonlyMap<string, GgufValue>) {
    if (value.type !== "string") continue;
    if (key === GGUF_KEY) templates.set(DEFAULT_TEMPLATE, value.value);
    else if (key.startsWith(`${GGUF_KEY}.`)) {
      templates.set(key.slice(GGUF_KEY.length + 1), value.value);
    }
  }
  return templates;
}

function fromFolder(folder: string): ChatTemplates {
  const path = (name: string) => join(folder, name);
  const config = path("tokenizer_config.json");
  const templates = existsSync(config) ? fromJson(readJsonFile(config)) : new Map();
  const json = path("chat_template.json");
  if (existsSync(json)) {
    for (const entry of fromJson(readJsonFile(json))) {
      templates.set(...entry);
    }
  }
  const jinja = path("chat_template.jinja");
  if (existsSync(jinja)) templates.set(DEFAULT_TEMPLATE, readText(jinja));
  return templates;
}

/** The field `chat_template`: one text, or a list of `{ name, template }`. */
function fromJson(value: unknown): Map<string, string> {
  const found = (value as { readonly chat_template?: unknown } | null)?.chat_template;
  if (typeof found === "string") return new Map([[DEFAULT_TEMPLATE, found]]);
  const list: unknown[] = Array.isArray(found) ? found : [];
  return new Map(list.flatMap((entry) => {
    const { name, template } = (entry ?? {}) as { name?: unknown; template?: unknown };
    const isRight = typeof name === "string" && typeof template === "string";
    return isRight ? [[name, template] as const] : [];
  }));
}

function readText(path: string): string {
  using file = InputFile.open(path);
  if (file.size > LARGEST) {
    throw new ConfigError(
      `Cannot read ${quotedPath(path)}: it has ${file.size} bytes, at most ${LARGEST} was wanted ` +
        "of a chat template",
    );
  }
  return new TextDecoder().decode(file.read(0, file.size));
}

/** The templates as keys of a GGUF file. */
export function chatTemplateKeys(templates: ChatTemplates): Map<string, GgufValue> {
  const others = [...templates.keys()].filter((name) => name !== DEFAULT_TEMPLATE);
  const keys = new Map<string, GgufValue>();
  for (const [name, value] of templates) {
    const key = name === DEFAULT_TEMPLATE ? GGUF_KEY : `${GGUF_KEY}.${name}`;
    keys.set(key, { type: "string", value });
  }
  if (others.length > 0) {
    keys.set("tokenizer.chat_templates", { type: "array", of: "string", value: others });
  }
  return keys;
}

/** The templates as the value of `chat_template` in a `tokenizer_config.json`; `undefined` for none. */
export function chatTemplateField(templates: ChatTemplates): unknown {
  const only = templates.size === 1 ? templates.get(DEFAULT_TEMPLATE) : undefined;
  if (only !== undefined) return only;
  const list = [...templates].map(([name, template]) => ({ name, template }));
  return list.length === 0 ? undefined : list;
}
