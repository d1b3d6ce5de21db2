/**
 * ZIP archives and pickles put together by hand, so that any field of them can be wrong.
 *
 * @module
 */

import { crc32 } from "node:zlib";
import { bytesOf, u32, u64 } from "./folder.ts";

/** A 16-bit little-endian number. */
export function u16(value: number): Uint8Array {
  return u32(value).subarray(0, 2);
}

/** One entry; what is given besides name and data replaces what would be right. */
export interface Entry {
  readonly name: string;
  readonly data: Uint8Array;
  readonly localName?: string;
  readonly flags?: number;
  readonly method?: number;
  readonly localMethod?: number;
  readonly crc?: number;
  readonly localBytes?: number;
  readonly stored?: number;
  readonly bytes?: number;
  readonly offset?: number;
  readonly extra?: Uint8Array;
}

/** The records at the end; what is given replaces what would be right. */
export interface End {
  readonly disks?: number;
  readonly entries?: number;
  readonly bytes?: number;
  readonly offset?: number;
  readonly zip64?: { readonly at?: number; readonly entries?: bigint; readonly offset?: bigint };
  readonly comment?: string;
}

/** Builds an archive. */
export function zipOf(entries: readonly Entry[], end: End = {}): Uint8Array {
  let body: Uint8Array = new Uint8Array();
  let directory: Uint8Array = new Uint8Array();
  for (const entry of entries) {
    const { name, data } = entry;
    const bytes = entry.bytes ?? data.length;
    const crc = u32(entry.crc ?? crc32(data));
    const offset = entry.offset ?? body.length;
    const [flags, method] = [entry.flags ?? 0, entry.method ?? 0];
    const extra = entry.extra ?? new Uint8Array();
    const encoded = bytesOf(name);
    const local = bytesOf(entry.localName ?? name);
    const localBytes = u32(entry.localBytes ?? bytes);
    directory = bytesOf(
      ...[directory, "PK\x01\x02", u16(20), u16(20), u16(flags), u16(method), u32(0), crc],
      ...[u32(entry.stored ?? bytes), u32(bytes), u16(encoded.length), u16(extra.length)],
      ...[u16(0), u16(0), u16(0), u32(0), u32(offset), encoded, extra],
    );
    body = bytesOf(
      ...[body, "PK\x03\x04", u16(20), u16(flags), u16(entry.localMethod ?? method), u32(0), crc],
      ...[localBytes, localBytes, u16(local.length), u16(0), local, data],
    );
  }
  const count = entries.length;
  const long = end.zip64;
  const end64 = long === undefined ? new Uint8Array() : bytesOf(
    ...["PK\x06\x06", u64(44), u16(45), u16(45), u32(0), u32(0), u64(count)],
    ...[u64(long.entries ?? count), u64(directory.length), u64(long.offset ?? body.length)],
    ...["PK\x06\x07", u32(0), u64(long.at ?? body.length + directory.length), u32(1)],
  );
  const comment = bytesOf(end.comment ?? "");
  return bytesOf(
    ...[body, directory, end64, "PK\x05\x06", u32(end.disks ?? 0), u16(end.entries ?? count)],
    ...[u16(end.entries ?? count), u32(end.bytes ?? directory.length)],
    ...[u32(end.offset ?? body.length), u16(comment.length), comment],
  );
}

type Part = Uint8Array | string;

/** Opcodes of pickle protocol 2. */
export const op = {
  /** BINUNICODE. */
  text: (text: string): Uint8Array => bytesOf("X", u32(bytesOf(text).length), text),
  /** BININT. */
  int: (value: number): Uint8Array => bytesOf("J", u32(value)),
  /** GLOBAL. */
  global: (module: string, name: string): Uint8Array => bytesOf(`c${module}\n${name}\n`),
  /** MARK, items, TUPLE. */
  tuple: (...items: readonly Part[]): Uint8Array => bytesOf("(", ...items, "t"),
  /** EMPTY_DICT, MARK, keys and values, SETITEMS. */
  dict: (...items: readonly Part[]): Uint8Array => bytesOf("}(", ...items, "u"),
  /** PROTO 2, parts, STOP. */
  program: (...parts: readonly Part[]): Uint8Array => bytesOf([0x80, 2], ...parts, "."),
};

/** What a tensor of the pickle says of itself. */
export interface Said {
  readonly storage?: string;
  readonly key?: string;
  readonly elements?: number;
  readonly offset?: number;
  readonly shape?: readonly number[];
  readonly strides?: readonly number[];
  readonly more?: readonly Part[];
}

/** The opcodes of one float32 tensor of shape [2, 2]; what is given replaces what would be right. */
export function tensorOf(said: Said = {}): Uint8Array {
  const { storage = "FloatStorage", key = "0", elements = 4, offset = 0 } = said;
  const { shape = [2, 2], strides = [2, 1] } = said;
  const hooks = bytesOf(op.global("collections", "OrderedDict"), ")R");
  return bytesOf(
    op.global("torch._utils", "_rebuild_tensor_v2"),
    op.tuple(
      op.tuple(
        op.text("storage"),
        op.global("torch", storage),
        op.text(key),
        op.text("cpu"),
        op.int(elements),
      ),
      "Q",
      op.int(offset),
      op.tuple(...shape.map(op.int)),
      op.tuple(...strides.map(op.int)),
      Uint8Array.of(0x89),
      hooks,
      ...(said.more ?? []),
    ),
    "R",
  );
}

/** An archive of a pickle and storages of 16 bytes each. */
export function checkpointOf(pickle: Uint8Array, storages: number = 1, end: End = {}): Uint8Array {
  const data = (fill: number): Uint8Array => new Uint8Array(16).fill(fill);
  return zipOf([
    { name: "archive/data.pkl", data: pickle },
    ...Array.from({ length: storages }, (_, i) => ({ name: `archive/data/${i}`, data: data(i) })),
    { name: "archive/version", data: bytesOf("3\n") },
  ], end);
}
