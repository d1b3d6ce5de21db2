import assert from "node:assert/strict";
import { join } from "node:path";
import { readSafetensors } from "../../lib/formats/safetensors.ts";
import { readTensor, readTensorInto } from "../../lib/formats/read_tensor.ts";
import { golden } from "../fixtures.ts";
import { bytesOf, f32, put, u64, withFolder } from "./folder.ts";

interface Manifest {
  readonly files: Record<string, { bytes: number; tensors?: Record<string, string> }>;
}

const MANIFEST: Manifest = JSON.parse(Deno.readTextFileSync(golden("manifest.json")));

Deno.test("every golden safetensors file reads with the types and shapes of the manifest", async () => {
  const entries = Object.entries(MANIFEST.files).filter(([path]) => path.endsWith(".safetensors"));
  assert.ok(entries.length > 20);
  for (const [path, { tensors, bytes }] of entries) {
    const file = await readSafetensors(golden(path));
    const read = [...file.records.values()].map((record) =>
      [record.name, `${record.dtype.toUpperCase()} [${record.shape.join(", ")}]`] as const
    );
    assert.deepEqual(Object.fromEntries(read), tensors, path);
    const end = Math.max(
      ...[...file.records.values()].map((record) => record.offset + record.bytes),
    );
    assert.equal(end, bytes, `${path} ends with its last tensor`);
  }
});

Deno.test("tensor values stand where the records point", async () => {
  // Probes from expected numbers that were computed by PyTorch: the first four float64 logits.
  const { records } = await readSafetensors(golden("llama_mha/outputs.safetensors"));
  const wide = new Float64Array((await readTensor(records.get("logits_f64")!)).buffer);
  const narrow = new Float32Array((await readTensor(records.get("logits_f32")!)).buffer);
  assert.equal(wide.length, narrow.length);
  for (const [i, value] of wide.entries()) assert.ok(Math.abs(value - narrow[i]!) < 1e-4);
});

Deno.test("a tensor streamed in small chunks is the tensor read whole", async () => {
  const { records } = await readSafetensors(golden("llama_gqa/model.safetensors"));
  for (const record of records.values()) {
    const whole = await readTensor(record);
    const streamed = new Uint8Array(record.bytes);
    let next = 0;
    await readTensorInto(record, (chunk, offset) => {
      assert.equal(offset, next);
      assert.ok(chunk.length <= 1000);
      streamed.set(chunk, offset);
      next += chunk.length;
    }, { chunkBytes: 1000 });
    assert.deepEqual(streamed, whole);
  }
});

Deno.test("metadata, zero extents, scalars and padding are read", async () => {
  await withFolder(async (folder) => {
    const header = '{"__metadata__":{"format":"pt","__proto__":"kept"},' +
      '"empty":{"dtype":"F32","shape":[0,3],"data_offsets":[0,0]},' +
      '"scalar":{"dtype":"F32","shape":[],"data_offsets":[0,4]},' +
      '"__proto__":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}      ';
    const path = put(folder, "odd.safetensors", bytesOf(u64(header.length), header, f32(1.5, -2)));
    const file = await readSafetensors(path);
    assert.deepEqual(
      Object.fromEntries(file.metadata),
      JSON.parse('{"format":"pt","__proto__":"kept"}'),
    );
    assert.deepEqual(file.records.get("empty")?.shape, [0, 3]);
    assert.equal((await readTensor(file.records.get("empty")!)).length, 0);
    assert.deepEqual(await readTensor(file.records.get("scalar")!), f32(1.5));
    assert.deepEqual(await readTensor(file.records.get("__proto__")!), f32(-2));
    assert.equal(file.records.get("scalar")!.file, join(folder, "odd.safetensors"));
  });
});
