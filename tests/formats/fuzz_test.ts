/**
 * Readers fed with thousands of damaged files: each must read or refuse, never crash, hang or throw anything else.
 *
 * `LLAMERO_FUZZ` sets how many files per format (default 5000; 100000 takes some minutes). The damage follows from the
 * number of the file alone, so a failure names the number that repeats it.
 */

import assert from "node:assert/strict";
import * as fs from "node:fs";
import { join } from "node:path";
import { LlameroError } from "../../lib/base/errors.ts";
import { readGguf } from "../../lib/formats/gguf.ts";
import { readLlama2c } from "../../lib/formats/llama2c.ts";
import { readPytorch } from "../../lib/formats/pytorch.ts";
import { readTensor } from "../../lib/formats/read_tensor.ts";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { readSafetensorsIndex } from "../../lib/formats/safetensors_index.ts";
import type { TensorRecord } from "../../lib/formats/tensor_file.ts";
import { golden } from "../fixtures.ts";
import { bytesOf, u32, u64, withFolder } from "./folder.ts";
import { ggufOf, gstring, info, key } from "./gguf_bytes.ts";
import { mutated } from "./mutations.ts";
import { checkpointOf, op, tensorOf } from "./pytorch_bytes.ts";

const FILES = Number(Deno.env.get("LLAMERO_FUZZ") ?? 5000);

interface Target {
  readonly name: string;
  readonly samples: readonly Uint8Array[];
  readonly read: (path: string) => Promise<{ readonly records: ReadonlyMap<string, TensorRecord> }>;
}

const header =
  '{"__metadata__":{"format":"pt"},"a.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},' +
  '"b":{"dtype":"BF16","shape":[3],"data_offsets":[16,22]}}  ';
const tensors = op.program(
  op.dict(
    op.text("x"),
    tensorOf(),
    op.text("y"),
    tensorOf({ key: "1", strides: [1, 2] }),
    op.text("n"),
    op.int(3),
  ),
);
const stories = [2, 2, 1, 1, 1, 2, 4].map(u32);

/** The shard that the index names. */
const SHARD = bytesOf(u64(60), '{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}       ', [1]);

const TARGETS: readonly Target[] = [
  {
    name: "safetensors",
    samples: [bytesOf(u64(header.length), header, new Uint8Array(22))],
    read: readSafetensors,
  },
  {
    name: "safetensors index",
    samples: [bytesOf('{"metadata":{"total_size":22},"weight_map":{"a":"good"}}')],
    read: readSafetensorsIndex,
  },
  {
    name: "GGUF",
    samples: [
      Deno.readFileSync(golden("gguf/types.gguf")),
      ggufOf({
        metadata: [
          key("general.alignment", 4, u32(64)),
          key("tokens", 9, u32(8), u64(2), gstring("a"), gstring("b")),
          key("split.count", 2, Uint8Array.of(1, 0)),
        ],
        infos: [info({ name: "a", type: 8, extents: [32, 2] }), info({ name: "b", offset: 128 })],
        alignment: 64,
        dataBytes: 192,
      }),
    ],
    read: readGguf,
  },
  {
    name: "llama2.c",
    samples: [
      bytesOf(...stories, new Uint8Array(184)),
      bytesOf("24ka", u32(1), ...stories, [1], new Uint8Array(219 + 152)),
      bytesOf("24ka", u32(2), ...stories, [0], u32(2), new Uint8Array(215 + 24 + 9 * 12)),
    ],
    read: readLlama2c,
  },
  {
    name: "PyTorch",
    samples: [
      checkpointOf(tensors, 2),
      checkpointOf(tensors, 2, { offset: 0xffffffff, zip64: {} }),
      Deno.readFileSync(new URL("./pytorch/views.pth", import.meta.url)),
    ],
    read: readPytorch,
  },
];

/** Puts bytes into an open file: closing a cut file would wait for the disk on some file systems. */
function replace(descriptor: number, bytes: Uint8Array): void {
  fs.writeSync(descriptor, bytes, 0, bytes.length, 0);
  fs.ftruncateSync(descriptor, bytes.length);
}

for (const { name, samples, read } of TARGETS) {
  Deno.test(`${FILES} damaged ${name} files are read or refused`, async () => {
    await withFolder(async (folder) => {
      fs.writeFileSync(join(folder, "good"), SHARD);
      const path = join(folder, "damaged");
      const descriptor = fs.openSync(path, "w");
      for (const sample of samples) {
        replace(descriptor, sample);
        await read(path);
      }
      let refusals = 0;
      for (let number = 0; number < FILES; number++) {
        replace(descriptor, mutated(samples[number % samples.length]!, number));
        try {
          const { records } = await read(path);
          for (const record of records.values()) {
            assert.equal((await readTensor(record)).length, record.bytes, `file ${number}`);
          }
        } catch (thrown) {
          refusals++;
          if (!(thrown instanceof LlameroError)) {
            throw new Error(`File ${number}: ${thrown}`, { cause: thrown });
          }
          assert.ok(/^Cannot .*$/.test(thrown.message), `file ${number}: ${thrown.message}`);
        }
      }
      fs.closeSync(descriptor);
      // Damage that no reader notices would make the test empty.
      assert.ok(refusals > FILES / 4, `only ${refusals} of ${FILES} were refused`);
    });
  });
}
