import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { DTYPE_CODES } from "../../kernels/abi.ts";
import { bytesOf, type DType } from "../../lib/tensor/dtype.ts";
import { onBackends } from "../on_backends.ts";

/**
 * First 16 hex digits of the SHA-256 of the blocks that llama.cpp 0.5.0's own library makes
 * (`ggml_quantize_chunk`, built without fused operations) of two matrices of 64 x 1024: the plain
 * one and the scaled one, without and with importance.
 */
const HASHES: Readonly<Record<string, Record<"plain" | "weighted", readonly [string, string]>>> = {
  q4_0: {
    plain: ["4271f7f007a1d3b6", "bb2f5358aae18f3b"],
    weighted: ["a8a18f4ae76899e5", "155d1cfb65f4ae34"],
  },
  q4_1: {
    plain: ["286b13fe1d57e913", "94763493f0f4081b"],
    weighted: ["4bb6b3fc0d500f64", "e746e79a04147f19"],
  },
  q5_0: {
    plain: ["620216b292a0f292", "cf7f45db7d6c245f"],
    weighted: ["e0fac3be950abc1f", "2d96a3167179c8fb"],
  },
  q5_1: {
    plain: ["bcec85a3e9e6eb6b", "b72b3923ccc539b9"],
    weighted: ["af0de30b113f51f5", "41bfba59cc925672"],
  },
  q8_0: {
    plain: ["3a102913033f835a", "083ca1c352317965"],
    weighted: ["3a102913033f835a", "083ca1c352317965"],
  },
  q2_k: {
    plain: ["06df27ff22208c46", "8a01c35a730b0532"],
    weighted: ["92a3d10284c73f9c", "c194d2a9cc7bdb58"],
  },
  q3_k: {
    plain: ["67900b739942625d", "77033151a1f2ccbd"],
    weighted: ["bca81b03ee6f1de9", "cba7d0c6e62ae7b0"],
  },
  q4_k: {
    plain: ["989e68768310bf27", "8eb4719d2bd859d5"],
    weighted: ["8494214a2ca8ed5e", "5f2eed5bd14ecc5b"],
  },
  q5_k: {
    plain: ["dbe9f15215070f4e", "7da6b3c45754b79b"],
    weighted: ["0cd46cfcab21cb8e", "f53b0342f26f5a1c"],
  },
  q6_k: {
    plain: ["c794b0ae84e5679d", "efd65285a3e1f9f9"],
    weighted: ["a6d96725bdd5c69e", "6454ef1cd94d1fab"],
  },
};

const [rows, dim] = [64, 1024];

/** A linear congruence, exact in single precision; scaled by a power of two for 256 columns each. */
function matrix(scaled: boolean): Float32Array {
  let state = 12345;
  return Float32Array.from({ length: rows * dim }, (_, i) => {
    state = (Math.imul(1664525, state) + 1013904223) >>> 0;
    const x = ((state >>> 8) - 2 ** 23) / 2 ** 23;
    return scaled ? x * 2 ** (((i % dim) >> 8) - 2) : x;
  });
}

const importance = Float32Array.from({ length: dim }, (_, i) => ((i * 37) % 101 + 1) / 128);

const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex").slice(0, 16);

for (const [type, hashes] of Object.entries(HASHES)) {
  onBackends(`${type} blocks are those of ggml, with importance and without`, async ({ open }) => {
    using one = await open(2);
    const { backend } = one;
    const out_dtype = DTYPE_CODES[type as DType];
    const blocks = new Uint8Array(bytesOf(type as DType, rows * dim));
    const [x, out, weights] = [rows * dim * 4, blocks.length, dim * 4].map((n) => backend.alloc(n));
    backend.upload(weights!, importance);
    for (const [i, scaled] of [false, true].entries()) {
      backend.upload(x!, matrix(scaled));
      const shape = { out: out!, x: x!, out_dtype, rows, dim };
      backend.kernels.convert({ ...shape, x_dtype: DTYPE_CODES.f32 });
      backend.download(blocks, out!);
      assert.equal(digest(blocks), hashes.plain[i], `plain, matrix ${i}`);
      backend.kernels.quantize_weighted({ ...shape, importance: weights! });
      backend.download(blocks, out!);
      assert.equal(digest(blocks), hashes.weighted[i], `with importance, matrix ${i}`);
    }
  });
}
