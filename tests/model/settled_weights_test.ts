import { deepStrictEqual, notStrictEqual, strictEqual } from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import type { Backend, MappedFile } from "../../lib/backend/backend.ts";
import { Decoder, type DecoderOptions } from "../../lib/model/decoder.ts";
import { Products, type Weight } from "../../lib/model/linear.ts";
import { SettledWeights } from "../../lib/model/settled_weights.ts";
import { RandomStream } from "../../lib/base/random.ts";
import { NO_STORIES, STORIES } from "../infer/stories.ts";
import { onBackends } from "../on_backends.ts";

const MIXED = join(STORIES, "stories260K-mixed.gguf");

/** Logits of 24 tokens, fed one by one after a prompt of 16. */
async function logitsOf(backend: Backend, options: DecoderOptions): Promise<Float32Array> {
  const decoder = await Decoder.load(backend, await openCheckpoint(MIXED), options);
  const session = decoder.session({ rows: 16, positions: 64 });
  const sequence = session.cache.pages.open();
  const tokens = Array.from({ length: 40 }, (_, i) => (i * 37 + 5) % decoder.config.vocabSize);
  const logits: number[] = [];
  for (let at = 0; at < tokens.length;) {
    const span = { sequence, tokens: tokens.slice(at, at === 0 ? 16 : at + 1) };
    session.forward([span]);
    for (const chunk of session.head.chunks([span.tokens.length - 1])) {
      logits.push(...chunk.logits());
    }
    at += span.tokens.length;
  }
  session.close();
  decoder.close();
  return Float32Array.from(logits);
}

onBackends("a model gives the same logits repacked, mapped or read, and as it is", async (on) => {
  using opened = await on.open(2);
  const want = await logitsOf(opened.backend, { repack: "off" });
  for (const repack of ["auto", "on"] as const) {
    for (const residence of ["mapped", "read"] as const) {
      const got = await logitsOf(opened.backend, { repack, residence });
      deepStrictEqual(got, want, `${repack}, ${residence}`);
    }
  }
}, { ignored: NO_STORIES });

const [ROWS, COLUMNS, IN] = [2, 80, 64];
const USE = { rows: ROWS, quantized: true } as const;
const BYTES = COLUMNS * IN / 32 * 18;

/** Blocks of q4_0 with plain scales. */
function q4Blocks(): Uint8Array<ArrayBuffer> {
  const random = new RandomStream(3, 0);
  return Uint8Array.from(
    { length: BYTES },
    (_, i) => i % 18 === 1 ? 0x2c : Math.floor(256 * random.uniform(i)),
  );
}

function product(backend: Backend, weight: Weight, places?: SettledWeights): Float32Array {
  const random = new RandomStream(4, 0);
  const x = backend.alloc(ROWS * IN * 4);
  const [out, scratch] = [backend.alloc(ROWS * COLUMNS * 4), backend.alloc(ROWS * IN * 2)];
  backend.upload(x, Float32Array.from({ length: ROWS * IN }, (_, i) => random.normal(i)));
  const products = new Products(backend, { activations: "auto", scratch, places });
  products.multiply(weight, { out, x, rows: ROWS });
  const result = new Float32Array(ROWS * COLUMNS);
  backend.download(result, out);
  for (const address of [x, out, scratch]) backend.free(address);
  return result;
}

const asWeight = (address: number): Weight => {
  const part = { dtype: "q4_0", outDim: COLUMNS, address } as const;
  return { inDim: IN, outDim: COLUMNS, parts: [part] };
};

/** A weight in the backend's memory, and what it is multiplied to where it lies. */
function inMemory(backend: Backend) {
  const address = backend.alloc(BYTES);
  backend.upload(address, q4Blocks());
  const weight = asWeight(address);
  return { address, weight, want: product(backend, weight) };
}

onBackends("a weight in memory is repacked where it lies, once", async (on) => {
  using opened = await on.open(1);
  const { backend } = opened;
  const { address, weight, want } = inMemory(backend);
  const repacked = new SettledWeights(backend, { repack: "on", files: [], embedding: 0 });
  deepStrictEqual(product(backend, weight, repacked), want);
  deepStrictEqual(product(backend, weight, repacked), want);
  const [part] = repacked.partsOf(weight, USE);
  deepStrictEqual([part!.repacked, part!.address], [true, address]);
  repacked.close();
});

onBackends(
  "a table that ids are looked up in keeps its rows beside the repacked copy",
  async (on) => {
    using opened = await on.open(1);
    const { backend } = opened;
    const { address, weight, want } = inMemory(backend);
    const repacked = new SettledWeights(backend, {
      repack: "auto",
      files: [],
      embedding: address,
    });
    deepStrictEqual(product(backend, weight, repacked), want);
    notStrictEqual(repacked.partsOf(weight, USE)[0]!.address, address);
    const rows = new Uint8Array(BYTES);
    backend.download(rows, address);
    deepStrictEqual(rows, q4Blocks());
    repacked.close();
  },
);

/** A mapped file that counts what is let go of it. */
async function mapped(backend: Backend, work: (file: MappedFile, gone: Gone) => void) {
  const folder = await mkdtemp(join(tmpdir(), "settled-"));
  try {
    await writeFile(join(folder, "weight"), q4Blocks());
    const file = backend.mapFile(join(folder, "weight"))!;
    const gone: Gone = [];
    const forget = (address: number, bytes: number) => {
      gone.push([address, bytes]);
      file.forget(address, bytes);
    };
    work({ ...file, forget }, gone);
    file.close();
  } finally {
    await rm(folder, { recursive: true });
  }
}

type Gone = [address: number, bytes: number][];

function bytesAt(backend: Backend, address: number): Uint8Array {
  const rows = new Uint8Array(BYTES);
  backend.download(rows, address);
  return rows;
}

onBackends(
  "a mapped weight is let go once it is repacked, and can still be read",
  async (on) => {
    using opened = await on.open(1);
    const { backend } = opened;
    await mapped(backend, (file, gone) => {
      const weight = asWeight(file.address);
      const want = product(backend, weight);
      const settled = new SettledWeights(backend, { repack: "auto", files: [file], embedding: 0 });
      deepStrictEqual(product(backend, weight, settled), want);
      deepStrictEqual(gone, [[file.address, BYTES]]);
      deepStrictEqual(bytesAt(backend, file.address), q4Blocks());
      strictEqual(settled.partsOf(weight, USE)[0]!.repacked, true);
      settled.close();
    });
  },
  { only: "native" },
);

onBackends(
  "a mapped weight that stays in rows is moved and let go once many tokens have read it",
  async (on) => {
    using opened = await on.open(1);
    const { backend } = opened;
    await mapped(backend, (file, gone) => {
      const weight = asWeight(file.address);
      const settled = new SettledWeights(backend, { repack: "auto", files: [file], embedding: 0 });
      const addressAfter = (rows: number, products: number) => {
        let address = 0;
        for (let i = 0; i < products; i++) {
          address = settled.partsOf(weight, { rows, quantized: false })[0]!.address;
        }
        return address;
      };
      strictEqual(addressAfter(512, 1000), file.address, "prompts are bound by arithmetic");
      strictEqual(addressAfter(1, 63), file.address);
      const address = addressAfter(1, 1);
      notStrictEqual(address, file.address);
      deepStrictEqual(bytesAt(backend, address), q4Blocks());
      strictEqual(addressAfter(1, 1000), address, "moved once");
      deepStrictEqual([gone, settled.movedBytes], [[[file.address, BYTES]], BYTES]);
      settled.close();
    });
  },
  { only: "native" },
);

onBackends(
  "q6_k stays in rows under auto where vectors are narrow, and not under on",
  async (on) => {
    using opened = await on.open(1);
    const { backend } = opened;
    const address = backend.alloc(16 * 210);
    const part = { dtype: "q6_k", outDim: 16, address } as const;
    const weight: Weight = { inDim: 256, outDim: 16, parts: [part] };
    for (const repack of ["auto", "on"] as const) {
      const repacked = new SettledWeights(backend, { repack, files: [], embedding: 0 });
      const expected = repack === "on" || on.name !== "wasm";
      strictEqual(repacked.partsOf(weight, USE)[0]!.repacked ?? false, expected, repack);
      repacked.close();
    }
  },
);
