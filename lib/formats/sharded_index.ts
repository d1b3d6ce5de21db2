/**
 * Models in several files: `model.safetensors.index.json` or `pytorch_model.bin.index.json` says which file holds which
 * tensor.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { JsonScanner } from "../base/json_scanner.ts";
import { errorCode } from "../base/file_error.ts";
import { quoted } from "../base/quoted.ts";
import { InputFile } from "./input_file.ts";
import { JSON_HEADER_LIMIT, refusal, type TensorRecord } from "./tensor_file.ts";

/** One shard: what both kinds of files have. */
export interface Shard {
  /** Where the file lies. */
  readonly path: string;
  /** Tensors by name. */
  readonly records: ReadonlyMap<string, TensorRecord>;
  /** What the file says of itself, if the format lets it. */
  readonly metadata?: ReadonlyMap<string, string>;
}

/** All the tensors of a sharded model. */
export interface ShardedModel extends Shard {
  /** Paths of the shards, in the order in which the index names them first. */
  readonly shards: readonly string[];
  /** What the shards say of themselves; where they differ, the last one counts. */
  readonly metadata: ReadonlyMap<string, string>;
}

/** Reads an index file and returns the name of each tensor's shard; the shards are not opened. */
function readWeightMap(path: string): Map<string, string> {
  using file = InputFile.open(path);
  if (file.size > JSON_HEADER_LIMIT) {
    throw refusal(
      path,
      `the index has ${file.size} bytes, and at most ${JSON_HEADER_LIMIT} are read`,
    );
  }
  const scanner = new JsonScanner(
    file.read(0, file.size),
    (what, offset) => refusal(path, what, { offset }),
  );
  const shardOf = new Map<string, string>();
  let found = false;
  scanner.object((key) => {
    if (key !== "weight_map") return scanner.skip();
    found = true;
    scanner.object((tensor) => void shardOf.set(tensor, shardName(path, tensor, scanner.string())));
  });
  scanner.end();
  if (!found) throw refusal(path, 'the index has no "weight_map"');
  if (shardOf.size === 0) throw refusal(path, 'the "weight_map" of the index is empty');
  return shardOf;
}

/** A shard must be a plain name: an index may not reach into other folders. */
function shardName(path: string, tensor: string, shard: string): string {
  // A colon would name a drive or a stream on Windows.
  // deno-lint-ignore no-control-regex -- a NUL or line break in a file name is what this looks for
  if (shard === "" || shard === "." || shard === ".." || /[/\\:\u0000-\u001f]/.test(shard)) {
    throw refusal(
      path,
      `the index puts tensor ${quoted(tensor)} into ${
        quoted(shard)
      }, wanted the name of a file beside it`,
    );
  }
  return shard;
}

/**
 * Reads an index and, with `read`, the headers of all its shards; throws `FormatError` where a shard is missing or a
 * tensor is not exactly where the index puts it.
 */
export async function readShards(
  path: string,
  read: (path: string) => Promise<Shard>,
): Promise<ShardedModel> {
  const shardOf = readWeightMap(path);
  const records = new Map<string, TensorRecord>();
  const metadata = new Map<string, string>();
  const shards: string[] = [];
  for (const name of new Set(shardOf.values())) {
    const shard = await readShard(path, { name, read });
    shards.push(shard.path);
    for (const [key, value] of shard.metadata ?? []) metadata.set(key, value);
    for (const record of shard.records.values()) {
      const wanted = shardOf.get(record.name);
      if (wanted !== name) {
        const place = wanted === undefined ? "does not name it" : `puts it into ${quoted(wanted)}`;
        throw refusal(
          path,
          `${quoted(name)} holds tensor ${quoted(record.name)}, and the index ${place}`,
        );
      }
      records.set(record.name, record);
    }
  }
  for (const [tensor, name] of shardOf) {
    if (records.has(tensor)) continue;
    throw refusal(
      path,
      `the index puts tensor ${quoted(tensor)} into ${quoted(name)}, which lacks it`,
    );
  }
  return { path, records, shards, metadata };
}

interface NamedShard {
  readonly name: string;
  readonly read: (path: string) => Promise<Shard>;
}

async function readShard(index: string, { name, read }: NamedShard): Promise<Shard> {
  try {
    return await read(join(dirname(index), name));
  } catch (thrown) {
    if (!(thrown instanceof Error) || errorCode(thrown.cause) !== "ENOENT") throw thrown;
    throw refusal(index, `the shard ${quoted(name)} that it names is missing`, {
      hint: `put ${name} beside the index`,
    });
  }
}
