/**
 * Reading PyTorch's `.pth`, `.pt` and `.bin` state dicts: a ZIP archive of a pickle and one entry per storage.
 *
 * Nothing in the file is executed: the pickle is interpreted by a list of names that can only make tensors
 * (`torch/serialization.py` and `torch/_utils.py` say what they mean).
 *
 * @module
 */

import { crc32 } from "node:zlib";
import { quoted } from "../base/quoted.ts";
import { InputFile } from "./input_file.ts";
import { unpickle } from "./pickle.ts";
import { PickleDict } from "./pickle_values.ts";
import { PickledTensor, stateDictRules } from "./pytorch_rules.ts";
import { recordOf } from "./pytorch_tensor.ts";
import { refusal, type TensorRecord } from "./tensor_file.ts";
import { readZip } from "./zip.ts";
import type { ZipEntry } from "./zip_entry.ts";

/** What a PyTorch file holds. */
export interface PytorchFile {
  /** The path as the user named it. */
  readonly path: string;
  /** Tensors by name, in the order of the state dict. */
  readonly records: ReadonlyMap<string, TensorRecord>;
}

/** A pickle longer than this is refused; that of a model with 10,000 tensors has 2 MB. */
const LONGEST_PICKLE = 16 << 20;

/** Where a checkpoint of training code keeps the model's state dict. */
const NESTED = ["state_dict", "model", "module"];

/**
 * Reads the tensors of a state dict; throws `FormatError` naming file, entry, tensor or the function that the pickle
 * wants to call.
 */
// deno-lint-ignore require-await -- the promise is the seam: callers must not depend on the reading being synchronous
export async function readPytorch(path: string): Promise<PytorchFile> {
  using file = InputFile.open(path);
  checkMagic(file);
  const entries = readZip(file);
  const pickle = findPickle(file, entries);
  const root = pickle.name.slice(0, -"data.pkl".length);
  checkByteOrder(file, entries.get(`${root}byteorder`));
  const bytes = file.read(pickle.offset, pickle.bytes);
  if (crc32(bytes) !== pickle.crc32) {
    throw refusal(path, `its entry ${quoted(pickle.name)} is damaged: the CRC-32 differs`, {
      offset: pickle.offset,
    });
  }
  const rules = stateDictRules((what, at) => refusal(path, what, { offset: pickle.offset + at }));
  const value = unpickle(bytes, rules);
  const records = new Map<string, TensorRecord>();
  for (const [name, tensor] of namedTensors(path, value)) {
    const entry = entries.get(`${root}data/${tensor.storage.key}`);
    records.set(name, recordOf({ name, tensor, path, entry }));
  }
  return { path, records };
}

/** Names what the file is if it is no archive. */
function checkMagic(file: InputFile): void {
  const magic = file.read(0, Math.min(4, file.size));
  const [first, second, third] = magic;
  if (first === 0x50 && second === 0x4b) return;
  // Before version 1.6, torch.save wrote a pickled magic number first.
  if (first === 0x80 && second === 2 && third === 0x8a) {
    throw refusal(file.path, "it is a PyTorch file from before version 1.6, which is not read", {
      offset: 0,
      hint: "save it again: torch.save(torch.load(FILE, weights_only=True), NEW_FILE)",
    });
  }
  throw refusal(file.path, "it does not begin as a ZIP archive does, and PyTorch files are that", {
    offset: 0,
    hint: "the file is probably not a PyTorch checkpoint",
  });
}

function findPickle(file: InputFile, entries: ReadonlyMap<string, ZipEntry>): ZipEntry {
  const found = [...entries.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = found;
  if (pickle === undefined || found.length > 1) {
    throw refusal(file.path, `the archive has ${found.length} entries NAME/data.pkl, wanted 1`);
  }
  if (pickle.bytes > LONGEST_PICKLE) {
    throw refusal(
      file.path,
      `its entry ${
        quoted(pickle.name)
      } has ${pickle.bytes} bytes, and at most ${LONGEST_PICKLE} are read`,
    );
  }
  return pickle;
}

function checkByteOrder(file: InputFile, entry: ZipEntry | undefined): void {
  if (entry === undefined) return;
  const text = new TextDecoder().decode(file.read(entry.offset, Math.min(entry.bytes, 16)));
  if (text === "little") return;
  throw refusal(file.path, `its byte order is ${quoted(text)}, wanted "little"`, {
    offset: entry.offset,
  });
}

/** The tensors of a state dict, which may stand inside the dict that training code saves around it. */
function namedTensors(path: string, value: unknown): [string, PickledTensor][] {
  if (!(value instanceof PickleDict)) {
    throw refusal(path, "the pickle holds no dict of tensors", {
      hint: "save the state dict: torch.save(model.state_dict(), FILE)",
    });
  }
  const tensors: [string, PickledTensor][] = [];
  for (const [name, entry] of value.entries) {
    if (entry instanceof PickledTensor) tensors.push([String(name), entry]);
  }
  if (tensors.length > 0) return tensors;
  const nested = NESTED.map((name) => value.entries.get(name)).find((entry) =>
    entry instanceof PickleDict
  );
  if (nested !== undefined) {
    for (const [name, entry] of nested.entries) {
      if (entry instanceof PickledTensor) tensors.push([String(name), entry]);
    }
  }
  if (tensors.length === 0) throw refusal(path, "the pickle holds a dict, but no tensors in it");
  return tensors;
}
