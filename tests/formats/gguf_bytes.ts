/**
 * GGUF files put together by hand, so that any field of them can be wrong.
 *
 * @module
 */

import { bytesOf, u32, u64 } from "./folder.ts";

/** A string of GGUF whose stated length can be wrong. */
export function gstring(text: string | Uint8Array, stated?: number | bigint): Uint8Array {
  const bytes = bytesOf(text);
  return bytesOf(u64(stated ?? bytes.length), bytes);
}

/** A key with its type and the bytes of its value. */
export function key(
  name: string | Uint8Array,
  type: number,
  ...value: readonly Uint8Array[]
): Uint8Array {
  return bytesOf(gstring(name), u32(type), ...value);
}

/** A tensor info: float32 `x` of 8 elements at offset 0, with some fields replaced. */
export function info(said: {
  readonly name?: string | Uint8Array;
  readonly axes?: number;
  readonly extents?: readonly (number | bigint)[];
  readonly type?: number;
  readonly offset?: number | bigint;
} = {}): Uint8Array {
  const { name = "x", extents = [8], type = 0, offset = 0 } = said;
  return bytesOf(
    gstring(name),
    u32(said.axes ?? extents.length),
    ...extents.map((extent) => u64(extent)),
    u32(type),
    u64(offset),
  );
}

/** A file of keys, tensor infos and data; the counts and the start can be wrong. */
export function ggufOf(said: {
  readonly magic?: string;
  readonly version?: number;
  readonly tensors?: number | bigint;
  readonly keys?: number | bigint;
  readonly metadata?: readonly Uint8Array[];
  readonly infos?: readonly Uint8Array[];
  readonly dataBytes?: number;
  readonly alignment?: number;
} = {}): Uint8Array {
  const { magic = "GGUF", version = 3, metadata = [], infos = [info()], alignment = 32 } = said;
  const head = bytesOf(
    magic,
    u32(version),
    u64(said.tensors ?? infos.length),
    u64(said.keys ?? metadata.length),
    ...metadata,
    ...infos,
  );
  const padding = (alignment - (head.length % alignment)) % alignment;
  return bytesOf(head, new Uint8Array(padding + (said.dataBytes ?? 32)));
}
