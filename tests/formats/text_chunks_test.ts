import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gzipSync, zstdCompressSync } from "node:zlib";
import { FormatError } from "../../lib/base/errors.ts";
import { type TextChunkOptions, textChunks } from "../../lib/formats/text_chunks.ts";
import { isZstandard, ZstandardFrame } from "../../lib/formats/zstandard_frames.ts";
import { bytesOf, temporaryFolder } from "./folder.ts";

const TEXT = new TextEncoder().encode(
  Array.from({ length: 30_000 }, (_, i) => `line ${i * 7919 % 1000}`).join("\n"),
);
const CHECKED = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };
const SKIPPED = bytesOf([0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
const ZEROS = zstdCompressSync(new Uint8Array(1 << 20));

async function read(bytes: Uint8Array, options: TextChunkOptions = {}): Promise<Uint8Array> {
  using folder = temporaryFolder();
  const path = join(folder.path, "text");
  writeFileSync(path, bytes);
  return bytesOf(...await Array.fromAsync(textChunks({ name: path }, options)));
}

Deno.test("plain, gzip and Zstandard texts give their bytes, members and frames one after another", async () => {
  const gz = gzipSync(TEXT);
  const zst = zstdCompressSync(TEXT);
  assert.deepEqual(await read(TEXT), TEXT);
  assert.deepEqual(await read(gz), TEXT);
  assert.deepEqual(await read(zst), TEXT);
  assert.deepEqual(await read(bytesOf(gz, gz)), bytesOf(TEXT, TEXT));
  assert.deepEqual(await read(bytesOf(zst, SKIPPED, zst)), bytesOf(TEXT, TEXT));
  assert.deepEqual(await read(zstdCompressSync(TEXT, CHECKED)), TEXT);
  assert.deepEqual(await read(zstdCompressSync(new Uint8Array())), new Uint8Array());
});

Deno.test("a text can be read from any byte on, compressed or not", async () => {
  for (const stored of [TEXT, gzipSync(TEXT), zstdCompressSync(TEXT)]) {
    for (const start of [0, 1, 100_000, TEXT.length]) {
      assert.deepEqual(await read(stored, { start }), TEXT.subarray(start));
    }
  }
});

Deno.test("the meter counts bytes as they are stored", async () => {
  for (const stored of [TEXT, gzipSync(TEXT), zstdCompressSync(TEXT)]) {
    for (const start of [0, 1000]) {
      const meter = { stored: 0 };
      await read(stored, { start, meter });
      assert.equal(meter.stored, stored.length);
    }
  }
});

Deno.test("compressed text that is cut or damaged is refused", async () => {
  const whole = [gzipSync(TEXT), zstdCompressSync(TEXT), zstdCompressSync(TEXT, CHECKED)];
  for (const stored of whole) {
    const changed = Uint8Array.from(stored);
    changed[stored.length >> 1]! ^= 0x55;
    const cuts = [1, 2, 4, 5, 300].map((bytes) => stored.subarray(0, -bytes));
    for (const bad of [...cuts, bytesOf(stored, stored.subarray(0, 40)), changed]) {
      await assert.rejects(read(bad), (error: FormatError) => {
        assert.ok(error instanceof FormatError);
        assert.match(error.message, /^Cannot decompress ".*text": /);
        return true;
      });
    }
  }
});

Deno.test("the end of a Zstandard frame is found in chunks of any size", () => {
  for (const whole of [zstdCompressSync(TEXT, CHECKED), zstdCompressSync(TEXT), SKIPPED, ZEROS]) {
    assert.ok(isZstandard(whole));
    const file = bytesOf(whole, TEXT);
    for (const size of [1, 2, 3, 7, 1000, file.length]) {
      const frame = new ZstandardFrame();
      let taken = 0;
      for (let at = 0; at < file.length && !frame.complete; at += size) {
        taken += frame.take(file.subarray(at, at + size));
      }
      assert.equal(taken, whole.length);
    }
  }
  assert.ok(!isZstandard(TEXT));
});
