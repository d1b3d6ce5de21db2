import assert from "node:assert/strict";
import { DTYPE_CODES } from "../../kernels/abi.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import type { KernelArguments, KernelName } from "../../lib/backend/kernels.generated.ts";
import { KernelError } from "../../lib/base/errors.ts";
import { onBackends } from "../on_backends.ts";

/** What a kernel must say, and what was wrong with its arguments. */
interface Refusal<K extends KernelName> {
  readonly change: Partial<KernelArguments[K]>;
  readonly says: RegExp;
}

/** Runs a call that is in order, then each change of it, which must be refused by name and value. */
function refuses<K extends KernelName>(
  backend: Backend,
  kernel: K,
  { good, bad }: { readonly good: KernelArguments[K]; readonly bad: readonly Refusal<K>[] },
): void {
  const invoke: (args: KernelArguments[K]) => void = backend.kernels[kernel];
  invoke(good);
  for (const { change, says } of bad) {
    const [[name, value]] = Object.entries(change) as [[string, number]];
    assert.throws(() => invoke({ ...good, ...change }), (error: Error) => {
      assert.ok(error instanceof KernelError);
      assert.match(error.message, new RegExp(`^Cannot run the kernel "${kernel}": `));
      assert.match(error.message, says);
      assert.ok(error.message.includes(`${name} ${value}`), error.message);
      return true;
    });
  }
}

function memory(backend: Backend): { tensor: number; integers: (...values: number[]) => number } {
  const tensor = backend.alloc(1 << 16);
  const integers = (...values: number[]) => {
    const address = backend.alloc(values.length * 4);
    backend.upload(address, Int32Array.from(values));
    return address;
  };
  return { tensor, integers };
}

onBackends("hostile: ids outside the table and unknown types are refused", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const { tensor, integers } = memory(backend);
  const { f32, q8_0, i8 } = DTYPE_CODES;
  const ids = integers(0, 3);
  const shape = { rows: 2, vocab: 4, dim: 8, table_dtype: f32 };
  refuses(backend, "embedding", {
    good: { out: tensor, table: tensor, ids, ...shape },
    bad: [
      { change: { ids: 0 }, says: /address 0/ },
      { change: { out: 0 }, says: /address 0/ },
      { change: { ids: integers(0, 4) }, says: /id is not below vocab/ },
      { change: { ids: integers(-1, 0) }, says: /id is not below vocab/ },
      { change: { vocab: 3 }, says: /id is not below vocab/ },
      { change: { table_dtype: 1000 }, says: /table_dtype must be/ },
      { change: { table_dtype: i8 }, says: /table_dtype must be/ },
      { change: { table_dtype: q8_0 }, says: /multiple of the block length/ },
    ],
  });
});

onBackends(
  "hostile: a missing tensor is refused by every kernel, a missing bias is not",
  async (on) => {
    using opened = await on.open();
    const { backend } = opened;
    const { tensor } = memory(backend);
    const norm = { out: tensor, x: tensor, weight: tensor, rows: 1, dim: 8, eps: 1e-5 };
    const missing = /a required tensor has address 0/;
    refuses(backend, "rms_norm", {
      good: norm,
      bad: [{ change: { weight: 0 }, says: missing }, { change: { x: 0 }, says: missing }],
    });
    refuses(backend, "layer_norm", {
      good: { ...norm, bias: 0 },
      bad: [{ change: { out: 0 }, says: missing }],
    });
    refuses(backend, "add", {
      good: { out: tensor, x: tensor, count: 5 },
      bad: [{ change: { x: 0 }, says: missing }],
    });
  },
  { gpu: true },
);

onBackends("hostile: rotations of odd heads, unknown layouts and overlapping rows", async (on) => {
  using opened = await on.open();
  const { backend } = opened;
  const { tensor } = memory(backend);
  const shape = { rows: 2, heads: 2, head_dim: 6, stride: 12, layout: 0 };
  refuses(backend, "rope", {
    good: { x: tensor, table: tensor, ...shape },
    bad: [
      { change: { head_dim: 5 }, says: /head_dim must be even/ },
      { change: { layout: 2 }, says: /layout must be 0 or 1/ },
      { change: { stride: 11 }, says: /stride must be at least/ },
      { change: { heads: 0xffffffff }, says: /stride must be at least/ },
    ],
  });
  refuses(backend, "swiglu", {
    good: {
      ...{ out: tensor, gate: tensor, up: tensor },
      ...{ rows: 2, dim: 4, gate_stride: 8, up_stride: 8 },
    },
    bad: [{ change: { gate_stride: 3 }, says: /gate_stride/ }],
  });
}, { gpu: true });

onBackends(
  "hostile: slots outside the cache are refused before anything is written",
  async (on) => {
    using opened = await on.open();
    const { backend } = opened;
    const { tensor, integers } = memory(backend);
    const shape = { rows: 2, kv_heads: 2, head_dim: 4, stride: 8, pages: 3, page_size: 4 };
    refuses(backend, "kv_store", {
      good: {
        ...{ cache: tensor, x: tensor, slots: integers(0, 11) },
        ...{ cache_dtype: DTYPE_CODES.f16, ...shape },
      },
      bad: [
        { change: { slots: integers(0, 12) }, says: /slot is not below pages \* page_size/ },
        { change: { slots: integers(-1, 0) }, says: /slot is not below/ },
        { change: { page_size: 0 }, says: /slot is not below/ },
        { change: { cache_dtype: DTYPE_CODES.i8 }, says: /cache_dtype must be f32, f16 or q8_0/ },
        { change: { cache_dtype: DTYPE_CODES.q8_0 }, says: /multiple of 32 in a cache of q8_0/ },
        { change: { stride: 7 }, says: /stride must be at least/ },
      ],
    });
  },
);

onBackends(
  "hostile: attention reads no page, position or sequence that is not there",
  async (on) => {
    using opened = await on.open();
    const { backend } = opened;
    const { tensor, integers } = memory(backend);
    const pointers = {
      ...{ out: tensor, q: tensor, keys: tensor, values: tensor },
      ...{ page_table: integers(2, 0, 1, -1), row_sequence: integers(0, 1) },
      ...{ row_position: integers(7, 3), cache_dtype: DTYPE_CODES.f32, scale: 1 },
    };
    const shape = {
      ...{ rows: 2, heads: 4, kv_heads: 2, head_dim: 8, pages: 3, page_size: 4 },
      ...{ sequences: 2, max_pages: 2, q_stride: 32, out_stride: 32 },
    };
    refuses(backend, "attention", {
      good: { ...pointers, ...shape },
      bad: [
        { change: { row_sequence: integers(0, 2) }, says: /row_sequence is not below sequences/ },
        { change: { row_position: integers(8, 0) }, says: /row_position is not below/ },
        { change: { row_position: integers(-1, 0) }, says: /row_position is not below/ },
        { change: { page_table: integers(2, 3, 1, 0) }, says: /page of page_table is not below/ },
        { change: { row_position: integers(7, 4) }, says: /page of page_table is not below/ },
        { change: { kv_heads: 3 }, says: /heads must be a multiple of kv_heads/ },
        { change: { kv_heads: 0 }, says: /heads must be a multiple of kv_heads/ },
        { change: { head_dim: 0 }, says: /head_dim must be from 1 to 8192/ },
        { change: { head_dim: 8193 }, says: /head_dim must be from 1 to 8192/ },
        { change: { page_size: 0 }, says: /page_size must be at least 1/ },
        { change: { q_stride: 31 }, says: /q_stride and out_stride/ },
        { change: { cache_dtype: 77 }, says: /cache_dtype must be f32, f16 or q8_0/ },
        { change: { page_table: 0 }, says: /address 0/ },
      ],
    });
  },
);

onBackends("hostile: targets outside the vocabulary and rows without elements", async (on) => {
  using opened = await on.open();
  const { backend } = opened;
  const { tensor, integers } = memory(backend);
  const outputs = { log_prob: tensor, log_z: tensor + 64 };
  refuses(backend, "score", {
    good: { ...outputs, logits: tensor + 128, targets: integers(-100, 6), rows: 2, vocab: 7 },
    bad: [
      { change: { targets: integers(0, 7) }, says: /target is not below vocab/ },
      { change: { vocab: 0 }, says: /vocab must be at least 1/ },
    ],
  });
  refuses(backend, "argmax", {
    good: { out: tensor, x: tensor + 64, rows: 2, dim: 4 },
    bad: [{ change: { dim: 0 }, says: /dim must be at least 1/ }],
  });
});

onBackends("hostile: products of unknown types, orders and overlapping rows", async (on) => {
  using opened = await on.open();
  const { backend } = opened;
  const { tensor } = memory(backend);
  const { f32, q8_0 } = DTYPE_CODES;
  const b = {
    b: tensor,
    b_dtype: f32,
    columns: 5,
    depth: 4,
    b_column_stride: 4,
    b_depth_stride: 1,
  };
  refuses(backend, "gemm", {
    good: {
      ...{ out: tensor, a: tensor, ...b, a_dtype: f32, rows: 3, precision: f32, b_packed: 0 },
      ...{ a_row_stride: 4, a_depth_stride: 1, out_stride: 5, accumulate: 0 },
    },
    bad: [
      { change: { a: 0 }, says: /address 0/ },
      { change: { a_dtype: q8_0 }, says: /a_dtype and b_dtype must be f32 or bf16/ },
      { change: { b_dtype: 77 }, says: /a_dtype and b_dtype must be f32 or bf16/ },
      { change: { precision: q8_0 }, says: /precision must be f32 or bf16/ },
      { change: { a_depth_stride: 2 }, says: /one of the two strides/ },
      { change: { b_depth_stride: 2 }, says: /one of the two strides/ },
      { change: { out_stride: 4 }, says: /out_stride must be at least columns/ },
    ],
  });
  refuses(backend, "gemm_pack", {
    good: { packed: tensor, ...b, precision: f32, packed_elements: 68 * 5 },
    bad: [
      { change: { packed_elements: 68 * 5 - 1 }, says: /packed_elements must be at least/ },
      { change: { precision: 77 }, says: /precision must be f32 or bf16/ },
    ],
  });
}, { gpu: true });

onBackends("hostile: parts of a vocabulary refuse targets that they have not", async (on) => {
  using opened = await on.open();
  const { backend } = opened;
  const { tensor, integers } = memory(backend);
  const [shift, sum, chosen] = [tensor, tensor + 64, tensor + 128];
  const parts = { logits: tensor + 1024, rows: 2, vocab: 7 };
  refuses(backend, "score_part", {
    good: { exponentials: 0, shift, sum, chosen, targets: integers(-1, 6), ...parts },
    bad: [
      { change: { targets: integers(0, 7) }, says: /target is not below vocab/ },
      { change: { vocab: 0 }, says: /vocab must be at least 1/ },
      { change: { sum: 0 }, says: /address 0/ },
    ],
  });
  refuses(backend, "cross_entropy_part", {
    good: { factors: shift, weights: sum, targets: integers(-1, 6), ...parts },
    bad: [
      { change: { targets: integers(0, 7) }, says: /target is not below vocab/ },
      { change: { factors: 0 }, says: /address 0/ },
    ],
  });
});

onBackends("hostile: training refuses ids, targets and documents that are none", async (on) => {
  using opened = await on.open();
  const { backend } = opened;
  const { tensor, integers } = memory(backend);
  refuses(backend, "embedding_backward", {
    good: { dtable: tensor, dy: tensor + 1024, ids: integers(0, 3), rows: 2, vocab: 4, dim: 8 },
    bad: [
      { change: { ids: integers(0, 4) }, says: /id is not below vocab/ },
      { change: { ids: integers(-1, 0) }, says: /id is not below vocab/ },
    ],
  });
  const outputs = { log_prob: tensor, log_z: tensor + 64, logits: tensor + 128 };
  const rows = { weights: tensor + 1024, rows: 2, vocab: 7, z_loss: 0 };
  refuses(backend, "cross_entropy", {
    good: { ...outputs, targets: integers(-100, 6), ...rows },
    bad: [
      { change: { targets: integers(0, 7) }, says: /target is not below vocab/ },
      { change: { vocab: 0 }, says: /vocab must be at least 1/ },
      { change: { weights: 0 }, says: /address 0/ },
    ],
  });
  const shape = { rows: 3, heads: 4, kv_heads: 2, head_dim: 8, scale: 1, precision: 0 };
  const strides = { out_stride: 32, q_stride: 32, k_stride: 16, v_stride: 16 };
  refuses(backend, "attention_forward", {
    good: {
      ...{
        out: tensor,
        log_z: tensor + 4096,
        q: tensor + 8192,
        k: tensor + 8192,
        v: tensor + 8192,
      },
      ...{ starts: integers(0, 0, 2), ...shape, ...strides },
    },
    bad: [
      { change: { starts: integers(0, 1, 0) }, says: /starts/ },
      { change: { starts: integers(0, 0, 3) }, says: /starts/ },
      { change: { starts: integers(1, 1, 1) }, says: /starts/ },
      { change: { starts: integers(-1, -1, -1) }, says: /starts/ },
      { change: { kv_heads: 3 }, says: /heads is not a multiple of kv_heads/ },
      { change: { kv_heads: 0 }, says: /heads is not a multiple of kv_heads/ },
      { change: { head_dim: 0 }, says: /head_dim must be from 1 to 8192/ },
      { change: { precision: 1 }, says: /precision must be f32 or bf16/ },
      { change: { head_dim: 8193 }, says: /head_dim must be from 1 to 8192/ },
      { change: { k_stride: 15 }, says: /stride is below the width/ },
      { change: { q_stride: 31 }, says: /stride is below the width/ },
      { change: { heads: 0xfffffffe }, says: /stride is below the width/ },
    ],
  });
});

onBackends("hostile: dropout refuses what is no probability or no counter", async (on) => {
  using opened = await on.open();
  const { backend } = opened;
  const { tensor } = memory(backend);
  refuses(backend, "dropout", {
    good: { x: tensor, seed: 2 ** 53 - 1, stream: 0, offset: 5, count: 9, probability: 0.5 },
    bad: [
      { change: { probability: 1 }, says: /probability must be at least 0 and below 1/ },
      { change: { probability: -0.5 }, says: /probability/ },
      { change: { probability: NaN }, says: /probability/ },
      { change: { seed: -1 }, says: /seed, stream and offset must be integers/ },
      { change: { stream: 0.5 }, says: /seed, stream and offset must be integers/ },
      { change: { offset: 2 ** 53 }, says: /seed, stream and offset must be integers/ },
    ],
  });
}, { gpu: true });

onBackends("hostile: calls without rows do nothing and are no error", async ({ open }) => {
  using opened = await open();
  const { backend } = opened;
  const { tensor, integers } = memory(backend);
  backend.fill(tensor, 7, 256);
  const { kernels } = backend;
  const ids = integers(9);
  kernels.embedding({ out: tensor, table: tensor, ids, table_dtype: 0, rows: 0, vocab: 1, dim: 8 });
  kernels.softmax({ out: tensor, x: tensor, rows: 0, dim: 8 });
  kernels.softmax({ out: tensor, x: tensor, rows: 3, dim: 0 });
  kernels.rms_norm({ out: tensor, x: tensor, weight: tensor, rows: 0, dim: 8, eps: 0 });
  kernels.add({ out: tensor, x: tensor, count: 0 });
  kernels.argmax({ out: tensor, x: tensor, rows: 0, dim: 4 });
  const strides = { a_row_stride: 1, a_depth_stride: 1, b_column_stride: 1, b_depth_stride: 1 };
  const types = { a_dtype: 0, b_dtype: 0, precision: 0, b_packed: 0 };
  const product = { out: tensor, a: tensor, b: tensor, ...types, ...strides, out_stride: 8 };
  kernels.gemm({ ...product, rows: 0, columns: 8, depth: 8, accumulate: 0 });
  kernels.gemm({ ...product, rows: 2, columns: 8, depth: 0, accumulate: 1 });
  const after = new Uint8Array(256);
  backend.download(after, tensor);
  assert.ok(after.every((byte) => byte === 7));
}, { gpu: true });

onBackends(
  "hostile: a GPU tells of ids, slots, pages and targets that are none when it is waited for",
  async ({ open }) => {
    using opened = await open();
    const { backend } = opened;
    const { tensor, integers } = memory(backend);
    const { f32 } = DTYPE_CODES;
    const told = (says: RegExp, enqueue: () => void) => {
      enqueue();
      assert.throws(() => backend.wait(), says);
      // It was told once; what comes after is in order.
      backend.wait();
    };
    told(/an id is not below vocab/, () => {
      const shape = { rows: 2, vocab: 4, dim: 8, table_dtype: f32 };
      backend.kernels.embedding({ out: tensor, table: tensor, ids: integers(0, 4), ...shape });
    });
    const cache = { cache_dtype: f32, kv_heads: 1, head_dim: 4, pages: 2, page_size: 4 };
    told(/a slot is not below pages \* page_size/, () => {
      const rows = { x: tensor, slots: integers(0, 8), rows: 2, stride: 4 };
      backend.kernels.kv_store({ cache: tensor, ...rows, ...cache });
    });
    told(/a target is not below vocab/, () => {
      const targets = integers(3, 9);
      const shape = { rows: 2, vocab: 9 };
      backend.kernels.score({ log_prob: tensor, log_z: tensor, logits: tensor, targets, ...shape });
    });
    for (const precision of [f32, DTYPE_CODES.bf16]) {
      for (const starts of [[0, 9, 9], [-7, -7, -7], [0, 2, 1]]) {
        told(/a row's start is not its document's/, () => {
          backend.kernels.attention_forward({
            ...{ out: tensor, log_z: tensor + 4096, q: tensor, k: tensor, v: tensor },
            ...{ starts: integers(...starts), rows: 3, heads: 4, kv_heads: 2, head_dim: 8 },
            ...{ out_stride: 32, q_stride: 32, k_stride: 16, v_stride: 16, scale: 1, precision },
          });
        });
      }
    }
    told(/a page of page_table is not below pages/, () => {
      backend.kernels.attention({
        ...{ out: tensor, q: tensor, keys: tensor, values: tensor, ...cache, rows: 1, heads: 1 },
        ...{ page_table: integers(2), row_sequence: integers(0), row_position: integers(0) },
        ...{ sequences: 1, max_pages: 1, q_stride: 4, out_stride: 4, scale: 1 },
      });
    });
  },
  { gpu: true, only: "cuda" },
);
