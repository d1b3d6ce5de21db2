/**
 * A model's tokenizer and chat templates on their way into another format.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { FormatError, LlameroError } from "../base/errors.ts";
import { quotedPath } from "../base/quoted.ts";
import type { GgufArray, GgufValue } from "../formats/gguf_types.ts";
import { InputFile } from "../formats/input_file.ts";
import { asGgufMetadata } from "../tokenizer/as_gguf.ts";
import type { TokenizerDefinition } from "../tokenizer/definition.ts";
import { nearPieces } from "../tokenizer/beyond_pieces.ts";
import { type TokenizerFile, tokenizerFiles } from "../tokenizer/files.ts";
import { readDefinition } from "../tokenizer/open.ts";
import {
  chatTemplateField,
  chatTemplateKeys,
  type ChatTemplates,
  DEFAULT_TEMPLATE,
  readChatTemplates,
} from "./chat_templates.ts";
import type { Checkpoint, CheckpointFormat } from "./checkpoint.ts";
import { HF_SIDE_FILES } from "./model_files.ts";

/** Which tokenizer travels. */
export interface TokenizerChoice {
  /** A tokenizer to take instead of the model's own. */
  readonly tokenizer?: string | undefined;
  /** Leaves the tokenizer behind. */
  readonly weightsOnly?: boolean | undefined;
}

/** A tokenizer that has been read and fits the model, with the templates that belong to it. */
export interface TravellingTokenizer {
  /** The file or folder that it comes from; absent where the model has none. */
  readonly path?: string;
  /** The tokenizer; absent where it is taken over unread. */
  readonly definition?: TokenizerDefinition;
  /** The files of a Hugging Face folder, where they are taken over as they are. */
  readonly copied?: readonly TokenizerFile[];
  /** The chat templates. */
  readonly templates: ChatTemplates;
  /** In which texts ids will differ from those of its file, where some will. */
  readonly warnings?: readonly string[];
}

/** Models pad their vocabulary to a multiple of at most this. */
const MOST_PADDING = 1024;

/** Files of tokenizers have some megabytes; what is far larger is something else. */
const LARGEST_SIDE_FILE = 1 << 28;

const HINT = "--weights-only converts the model without its tokenizer";

/**
 * Reads the tokenizer and chat templates of a model, as far as the target needs them: where its own
 * files or keys are taken over as they are, nothing is read into them.
 *
 * @throws {FormatError} Where the tokenizer cannot be read or is not the model's.
 */
export function packTokenizer(
  source: Checkpoint,
  choice: TokenizerChoice & { readonly to: CheckpointFormat },
): Promise<TravellingTokenizer> {
  return explained(async () => {
    if (choice.weightsOnly === true) return { templates: new Map() };
    const templates = readChatTemplates(source);
    const path = choice.tokenizer ?? source.tokenizerPath;
    if (path === undefined) return { templates };
    if (choice.tokenizer === undefined && choice.to === source.format) {
      if (choice.to === "hf") return { path, templates, copied: sideFiles(source) };
      if (choice.to === "gguf") return { path, templates };
    }
    const definition = await bestDefinition(path, source.config.vocabSize);
    checkVocabulary(definition, source);
    const differs = choice.to === "hf" ? undefined : nearPieces(definition);
    const warnings = differs === undefined ? [] : [
      `As ${choice.to}, the tokenizer ${quotedPath(definition.file)} gives other ids to ${differs}`,
    ];
    return { path: definition.file, definition, templates, warnings };
  });
}

/** Adds the way out to what goes wrong with a tokenizer. */
async function explained<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    if (!(thrown instanceof LlameroError)) throw thrown;
    throw new FormatError(thrown.message, { cause: thrown, hint: HINT });
  }
}

/**
 * The tokenizer of a path. A `tokenizer.model` lacks the tokens that were added to a model later, which
 * the `tokenizer.json` beside it has.
 */
async function bestDefinition(path: string, vocabSize: number): Promise<TokenizerDefinition> {
  const first = await readDefinition(path);
  const json = join(path, "tokenizer.json");
  if (first.vocabSize >= vocabSize || first.file === json || !existsSync(json)) return first;
  const second = await readDefinition(json);
  return second.vocabSize > first.vocabSize ? second : first;
}

function checkVocabulary({ file, vocabSize }: TokenizerDefinition, source: Checkpoint): void {
  const wanted = source.config.vocabSize;
  if (vocabSize <= wanted && wanted - vocabSize < MOST_PADDING) return;
  throw new FormatError(
    `Cannot convert ${quotedPath(source.path)}: its tokenizer ${quotedPath(file)} has ` +
      `${vocabSize} tokens, and its embedding ${wanted} rows`,
    { file },
  );
}

function sideFiles(source: Checkpoint): TokenizerFile[] {
  const folder = dirname(source.files[0] ?? source.path);
  const there = HF_SIDE_FILES.filter((name) => existsSync(join(folder, name)));
  return there.map((name) => ({ name, bytes: readSideFile(join(folder, name)) }));
}

function readSideFile(path: string): Uint8Array {
  using file = InputFile.open(path);
  if (file.size <= LARGEST_SIDE_FILE) return file.read(0, file.size);
  throw new FormatError(
    `Cannot copy ${quotedPath(path)}: it has ${file.size} bytes, at most ${LARGEST_SIDE_FILE} ` +
      "was wanted of a tokenizer's file",
    { file: path },
  );
}

/** The files of the tokenizer in a Hugging Face folder. @throws {FormatError} Where it cannot be written so. */
export function huggingFaceFiles(packed: TravellingTokenizer): Promise<TokenizerFile[]> {
  return explained(() => {
    if (packed.copied !== undefined) return [...packed.copied];
    const files = packed.definition === undefined ? [] : tokenizerFiles(packed.definition, "hf");
    const field = chatTemplateField(packed.templates);
    if (field === undefined) return files;
    const config = files.find(({ name }) => name === "tokenizer_config.json");
    const text = config === undefined ? "{}" : new TextDecoder().decode(config.bytes);
    const value = { ...JSON.parse(text), chat_template: field };
    const json = `${JSON.stringify(value, undefined, 2)}\n`;
    return [
      ...files.filter((file) => file !== config),
      { name: "tokenizer_config.json", bytes: new TextEncoder().encode(json) },
    ];
  });
}

/** The files of the tokenizer in a Meta folder. @throws {FormatError} Where it cannot be written so. */
export function metaFiles(packed: TravellingTokenizer): Promise<TokenizerFile[]> {
  return explained(() => {
    const files = packed.definition === undefined ? [] : tokenizerFiles(packed.definition, "meta");
    const template = packed.templates.get(DEFAULT_TEMPLATE);
    if (template === undefined) return files;
    const bytes = new TextEncoder().encode(template);
    return [...files, { name: "chat_template.jinja", bytes }];
  });
}

/** The tokenizer beside a llama2.c file, where there is one. @throws {FormatError} Where it cannot be written so. */
export function llama2cFile(packed: TravellingTokenizer): Promise<TokenizerFile | undefined> {
  return explained(() =>
    packed.definition === undefined ? undefined : tokenizerFiles(packed.definition, "llama2c")[0]
  );
}

/** What llama.cpp calls the kind of a tokenizer that is not there. */
const NO_TOKENIZER: GgufValue = { type: "string", value: "no_vocab" };

/**
 * The tokenizer and the templates as keys of a GGUF file, a token for each of the `vocabSize` rows of
 * the embedding. @throws {FormatError} Where it cannot be written so.
 */
export function ggufTokenizerKeys(
  packed: TravellingTokenizer,
  options: { readonly vocabSize: number },
): Promise<Map<string, GgufValue>> {
  return explained(() => {
    const keys = packed.definition === undefined
      ? new Map([["tokenizer.ggml.model", NO_TOKENIZER]])
      : padded(asGgufMetadata(packed.definition), options.vocabSize);
    for (const entry of chatTemplateKeys(packed.templates)) keys.set(...entry);
    return keys;
  });
}

/** The score of what no text becomes. */
const UNUSED_SCORE = -10000;
const UNUSED_TYPE = 5;

/** Rows of the embedding beyond the vocabulary get tokens that no text has, as llama.cpp's converter gives them. */
function padded(keys: Map<string, GgufValue>, vocabSize: number): Map<string, GgufValue> {
  const array = (name: string) => keys.get(`tokenizer.ggml.${name}`) as GgufArray | undefined;
  const tokens = array("tokens");
  const missing = vocabSize - (tokens?.value.length ?? vocabSize);
  if (missing <= 0 || tokens?.of !== "string") return keys;
  const first = tokens.value.length;
  const names = Array.from({ length: missing }, (_, i) => `[PAD${first + i}]`);
  const set = (name: string, value: GgufArray) => keys.set(`tokenizer.ggml.${name}`, value);
  set("tokens", { ...tokens, value: [...tokens.value, ...names] });
  const scores = array("scores");
  if (scores?.of === "f32") {
    const value = new Float32Array(vocabSize).fill(UNUSED_SCORE);
    value.set(scores.value);
    set("scores", { ...scores, value });
  }
  const types = array("token_type");
  if (types?.of === "i32") {
    const value = new Int32Array(vocabSize).fill(UNUSED_TYPE);
    value.set(types.value);
    set("token_type", { ...types, value });
  }
  return keys;
}
