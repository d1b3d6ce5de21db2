/**
 * Finds out what a path holds: a Hugging Face folder, a GGUF file, a Meta folder or a llama2.c file.
 *
 * A folder is asked for names in a fixed order (an index, then the single file), never by a glob:
 * other weight files may lie beside those that count. A file is told by its first bytes.
 *
 * @module
 */

import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { LlameroError } from "../base/errors.ts";
import { fileError } from "../base/file_error.ts";
import { quoted, quotedPath } from "../base/quoted.ts";
import { InputFile } from "../formats/input_file.ts";

/** Weights of a model and what describes them. */
export interface DetectedCheckpoint {
  /** The format of the whole. */
  readonly format: "hf" | "gguf" | "meta" | "llama2c";
  /** The path as the user named it. */
  readonly path: string;
  /** The file that the weights (or their index) stand in. */
  readonly weights: string;
  /** How that file is read. */
  readonly container: "safetensors" | "safetensors index" | "pytorch" | "pytorch index" | "own";
  /** The config beside it, where the format has one. */
  readonly config?: string;
  /** All the files of a model that Meta split over several. */
  readonly parts?: readonly string[];
}

/** Hugging Face's names for weights, the first that exists counts. */
const HF_WEIGHTS: readonly (readonly [string, DetectedCheckpoint["container"]])[] = [
  ["model.safetensors.index.json", "safetensors index"],
  ["model.safetensors", "safetensors"],
  ["pytorch_model.bin.index.json", "pytorch index"],
  ["pytorch_model.bin", "pytorch"],
];

function refuse(path: string, what: string, hint?: string): LlameroError {
  return new LlameroError(`Cannot open ${quotedPath(path)}: ${what}`, { hint });
}

/** Detects a model at a path; `file` chooses a weight file of a folder by name. */
export function detectCheckpoint(
  path: string,
  options: { readonly file?: string } = {},
): DetectedCheckpoint {
  let found: fs.Stats;
  try {
    found = fs.statSync(path);
  } catch (thrown) {
    throw fileError(thrown, { action: "open", path });
  }
  if (found.isDirectory()) {
    if (options.file === undefined) return { ...detectFolder(path), path };
    return { ...detectFile(join(path, options.file)), path };
  }
  if (options.file !== undefined) {
    throw refuse(path, `it is a file, and a folder with ${quoted(options.file)} was wanted`);
  }
  return detectFile(path);
}

function namesIn(path: string): string[] {
  try {
    return fs.readdirSync(path).sort();
  } catch (thrown) {
    throw fileError(thrown, { action: "open", path });
  }
}

function detectFolder(path: string): DetectedCheckpoint {
  const names = namesIn(path);
  if (names.length === 0) throw refuse(path, "the folder is empty, a model was wanted");
  if (names.includes("config.json")) {
    for (const [name, container] of HF_WEIGHTS) {
      if (!names.includes(name)) continue;
      const config = join(path, "config.json");
      return { format: "hf", path, weights: join(path, name), container, config };
    }
  }
  const parts = metaParts(names);
  if (names.includes("params.json") && parts.length > 0) return detectMeta(path, parts);
  throw nothingIn(path, names);
}

/** The names of Meta's weight files, in order; numbered ones or the single one. */
function metaParts(names: readonly string[]): string[] {
  const numbered = (ending: string) =>
    names.filter((name) => /^consolidated\.\d\d\./.test(name) && name.endsWith(ending));
  const safetensors = numbered(".safetensors");
  if (safetensors.length > 0) return safetensors;
  if (names.includes("consolidated.safetensors")) return ["consolidated.safetensors"];
  const pytorch = numbered(".pth");
  if (pytorch.length > 0) return pytorch;
  return names.includes("consolidated.pth") ? ["consolidated.pth"] : [];
}

function detectMeta(path: string, parts: readonly string[]): DetectedCheckpoint {
  const [first = ""] = parts;
  return {
    format: "meta",
    path,
    weights: join(path, first),
    container: first.endsWith(".pth") ? "pytorch" : "safetensors",
    config: join(path, "params.json"),
    parts: parts.map((name) => join(path, name)),
  };
}

/** The error for a folder without a model, with a hint made of what lies in it. */
function nothingIn(path: string, names: readonly string[]): LlameroError {
  const one = (ending: string) => names.find((name) => name.endsWith(ending));
  const single = one(".gguf") ?? one(".safetensors");
  const hint = single === undefined
    ? undefined
    : `name the file: ${quotedPath(join(path, single))}`;
  if (names.includes("config.json")) {
    const what = 'it has a config.json and no weights, "model.safetensors" was wanted';
    return refuse(path, what, hint);
  }
  if (names.includes("params.json")) {
    const what = 'it has a params.json and no weights, "consolidated.00.pth" was wanted';
    return refuse(path, what, hint);
  }
  if (names.some((name) => HF_WEIGHTS.some(([known]) => known === name))) {
    return refuse(path, "it has weights and no config.json", "copy the model's config.json there");
  }
  if (metaParts(names).length > 0) {
    return refuse(path, "it has weights and no params.json", "copy the model's params.json there");
  }
  const files = names.length === 1 ? "1 file" : `${names.length} files`;
  return refuse(path, `none of its ${files} is a config.json or params.json of a model`, hint);
}

/** The kinds of files that are told apart. */
export type FileKind = "gguf" | "safetensors" | "pytorch" | "ggml" | "json" | "unknown";

const text = (bytes: Uint8Array) => String.fromCharCode(...bytes);

/** What kind of file it is, by its first bytes. */
export function kindOf(path: string): FileKind {
  using file = InputFile.open(path);
  if (file.size === 0) throw refuse(path, "it is empty, a model was wanted");
  const start = file.read(0, Math.min(16, file.size));
  const magic = text(start.subarray(0, 4));
  if (magic === "GGUF" || magic === "FUGG") return "gguf";
  if (["lmgg", "tjgg", "fmgg", "algg"].includes(magic)) return "ggml";
  // A zip archive, or the pickle that PyTorch wrote before it.
  if (magic === "PK\x03\x04" || (start[0] === 0x80 && start[1] === 0x02)) return "pytorch";
  if (path.endsWith(".safetensors")) return "safetensors";
  // Header lengths are far below 2^32, and the header is an object.
  if (text(start.subarray(4, 9)) === "\0\0\0\0{") return "safetensors";
  return /^\s*[{[]/.test(text(start)) && path.endsWith(".json") ? "json" : "unknown";
}

function detectFile(path: string): DetectedCheckpoint {
  const kind = kindOf(path);
  const folder = dirname(path);
  switch (kind) {
    case "gguf":
      return { format: "gguf", path, weights: path, container: "own" };
    case "safetensors":
    case "pytorch":
      return detectBeside(path, kind);
    case "ggml":
      throw refuse(path, "it is a GGML file from before GGUF", "convert it with llama.cpp first");
    case "json":
      if (/\.index\.json$/.test(path)) {
        const container = path.endsWith(".bin.index.json") ? "pytorch index" : "safetensors index";
        const config = join(folder, "config.json");
        return { format: "hf", path, weights: path, container, config };
      }
      throw refuse(
        path,
        "it is a JSON file, a model was wanted",
        `name its folder: ${quotedPath(folder)}`,
      );
    case "unknown":
      if (path.endsWith(".bin")) {
        return { format: "llama2c", path, weights: path, container: "own" };
      }
      throw refuse(
        path,
        "it is no model file that is known",
        "known are .safetensors, .gguf, .pth and llama2.c's .bin files",
      );
  }
}

/** Weights alone say no shapes of heads: the config must lie beside them. */
function detectBeside(path: string, container: "safetensors" | "pytorch"): DetectedCheckpoint {
  const folder = dirname(path);
  const isMeta = basename(path).startsWith("consolidated");
  const [first, second] = isMeta ? ["params.json", "config.json"] : ["config.json", "params.json"];
  for (const name of [first, second] as const) {
    const config = join(folder, name);
    if (!fs.existsSync(config)) continue;
    if (name === "config.json") return { format: "hf", path, weights: path, container, config };
    // One of several parts stands for all of them.
    const parts = metaParts(namesIn(folder));
    const isPart = parts.includes(basename(path));
    return { ...detectMeta(folder, isPart ? parts : [basename(path)]), path };
  }
  throw refuse(
    path,
    `there is no ${first} beside it`,
    `copy the model's ${first} to ${quotedPath(folder)}`,
  );
}
