import {
  deepStrictEqual,
  notDeepStrictEqual,
  rejects,
  strictEqual,
  throws,
} from "node:assert/strict";
import { openCheckpoint } from "../../lib/checkpoint/open.ts";
import { BackendError, ConfigError, FormatError } from "../../lib/base/errors.ts";
import type { Backend } from "../../lib/backend/backend.ts";
import type { Span } from "../../lib/model/batch.ts";
import { Decoder, type DecoderSession, sessionBytes } from "../../lib/model/decoder.ts";
import type { DecoderSource, Residence } from "../../lib/model/load_weights.ts";
import type { KvType } from "../../lib/model/kv_cache.ts";
import { presetOf } from "../../lib/model/presets.ts";
import { weightSpecs } from "../../lib/model/weights.ts";
import { golden } from "../fixtures.ts";
import { onBackends } from "../on_backends.ts";
import {
  assertNear,
  goldenBatch,
  goldenExpected,
  type GoldenModel,
  goldenOutput,
  goldenSource,
  LOGIT_TOLERANCE,
} from "./golden_models.ts";

const FAMILY: readonly GoldenModel[] = ["llama_mha", "llama_gqa", "llama_gqa_tied", "palm"];

interface SessionFor {
  readonly rows?: number;
  readonly positions?: number;
  readonly sequences?: number;
  readonly kvType?: KvType;
  readonly residence?: Residence;
}

async function open(
  backend: Backend,
  source: DecoderSource,
  options: SessionFor = {},
): Promise<DecoderSession> {
  const decoder = await Decoder.load(backend, source, { residence: options.residence });
  return decoder.session({ rows: 64, positions: 1024, sequences: 4, ...options });
}

/** Runs spans and returns the logits of all their rows. */
function logitsOf(session: DecoderSession, spans: readonly Span[]): Float32Array {
  session.forward(spans);
  const rows = spans.reduce((sum, span) => sum + span.tokens.length, 0);
  const all = new Float32Array(rows * session.decoder.config.vocabSize);
  for (const chunk of session.head.chunks(Array.from({ length: rows }, (_, row) => row))) {
    all.set(chunk.logits(), chunk.first * session.decoder.config.vocabSize);
  }
  return all;
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

for (const name of FAMILY) {
  onBackends(`${name}: token by token and in one batch give the same bits`, async (on) => {
    using opened = await on.open(2);
    const session = await open(opened.backend, await goldenSource(name));
    const { pages } = session.cache;
    const tokens = goldenBatch(name).input_ids[0]!;
    const whole = logitsOf(session, [{ sequence: pages.open(), tokens }]);
    for (const cuts of [[1], [7, 1], [3, 11]]) {
      const sequence = pages.open();
      const parts: Float32Array[] = [];
      for (let at = 0; at < tokens.length;) {
        const size = cuts[Math.min(parts.length, cuts.length - 1)]!;
        parts.push(logitsOf(session, [{ sequence, tokens: tokens.slice(at, at + size) }]));
        at += size;
      }
      deepStrictEqual(joined(parts), whole, `cut into ${cuts}`);
      pages.close(sequence);
    }
  });

  onBackends(`${name}: any number of threads gives the same bits`, async (on) => {
    const { input_ids } = goldenBatch(name);
    const results: Float32Array[] = [];
    for (const threads of [1, 2, 3]) {
      using opened = await on.open(threads);
      const session = await open(opened.backend, await goldenSource(name), { rows: 128 });
      const spans = input_ids.map((tokens) => ({ sequence: session.cache.pages.open(), tokens }));
      results.push(logitsOf(session, spans));
    }
    deepStrictEqual(results[1], results[0]);
    deepStrictEqual(results[2], results[0]);
  });

  onBackends(`${name}: a sequence gives the same bits alone and beside others`, async (on) => {
    using opened = await on.open(2);
    const session = await open(opened.backend, await goldenSource(name));
    const { pages } = session.cache;
    const [first, second] = goldenBatch(name).input_ids as [number[], number[]];
    const alone = logitsOf(session, [{ sequence: pages.open(), tokens: first }]);
    const { vocabSize } = session.decoder.config;
    const [a, b, c] = [pages.open(), pages.open(), pages.open()];
    const steps: [Span[], number, number][] = [
      [
        [{ sequence: b, tokens: second.slice(0, 9) }, {
          sequence: a,
          tokens: first.slice(0, 5),
        }],
        9,
        5,
      ],
      [[{ sequence: a, tokens: first.slice(5, 6) }, { sequence: c, tokens: [1, 2, 3] }], 0, 1],
      [
        [{ sequence: c, tokens: [9] }, { sequence: b, tokens: second.slice(9, 20) }, {
          sequence: a,
          tokens: first.slice(6),
        }],
        12,
        first.length - 6,
      ],
    ];
    const parts = steps.map(([spans, row, count]) =>
      logitsOf(session, spans).slice(row * vocabSize, (row + count) * vocabSize)
    );
    deepStrictEqual(joined(parts), alone);
  });
}

onBackends("the cache gives the full forward pass's logits after a prefill of 7", async (on) => {
  using opened = await on.open();
  for (const name of FAMILY) {
    const session = await open(opened.backend, await goldenSource(name));
    const tokens = goldenBatch(name).input_ids[0]!;
    const { prefill } = goldenExpected(name).kv_cache;
    const sequence = session.cache.pages.open();
    const parts = [logitsOf(session, [{ sequence, tokens: tokens.slice(0, prefill) }])];
    for (const token of tokens.slice(prefill)) {
      parts.push(logitsOf(session, [{ sequence, tokens: [token] }]));
    }
    const wanted = await goldenOutput(name, "logits_f64");
    assertNear(joined(parts), wanted.subarray(0, joined(parts).length), LOGIT_TOLERANCE);
  }
});

onBackends(
  "a fork, a trim and a roll back give the bits of a sequence computed anew",
  async (on) => {
    using opened = await on.open();
    const session = await open(opened.backend, await goldenSource("llama_gqa"));
    const { pages } = session.cache;
    const tokens = Array.from({ length: 150 }, (_, i) => (i * 37) % 320);
    const run = (sequence: ReturnType<typeof pages.open>, ids: number[]) => {
      const parts: Float32Array[] = [];
      for (let at = 0; at < ids.length; at += 50) {
        parts.push(logitsOf(session, [{ sequence, tokens: ids.slice(at, at + 50) }]));
      }
      return joined(parts);
    };
    const { vocabSize } = session.decoder.config;
    const whole = run(pages.open(), tokens);
    const after = whole.subarray(100 * vocabSize);
    const parent = pages.open();
    run(parent, tokens.slice(0, 100));
    const [one, two] = [pages.fork(parent), pages.fork(parent)];
    run(one, [5, 6, 7]);
    deepStrictEqual(run(two, tokens.slice(100)), after, "a fork beside a fork that went elsewhere");
    deepStrictEqual(run(parent, tokens.slice(100)), after, "the parent of forks");
    pages.rollBack(one, 3);
    deepStrictEqual(run(one, tokens.slice(100)), after, "rolled back");
    pages.trim(two, 100);
    deepStrictEqual(run(two, tokens.slice(100)), after, "trimmed");
  },
);

onBackends(
  "weights of interleaved rotary layout are used as they are (Meta's twin)",
  async (on) => {
    using opened = await on.open();
    const source = await openCheckpoint(golden("llama_gqa/meta"));
    strictEqual(source.ropeLayout, "interleaved");
    const session = await open(opened.backend, source);
    const { input_ids } = goldenBatch("llama_gqa");
    const spans = input_ids.map((tokens) => ({ sequence: session.cache.pages.open(), tokens }));
    assertNear(
      logitsOf(session, spans),
      await goldenOutput("llama_gqa", "logits_f64"),
      LOGIT_TOLERANCE,
    );
  },
);

onBackends("mapped weights and read ones give the same bits", async (on) => {
  using opened = await on.open();
  for (const file of ["model.safetensors", "model_bf16.safetensors"]) {
    const source = await goldenSource("llama_gqa_tied", file);
    const tokens = goldenBatch("llama_gqa_tied").input_ids[0]!;
    const results = [];
    for (const residence of ["read", "mapped"] as const) {
      const session = await open(opened.backend, source, { residence });
      const { readBytes } = session.decoder.weights;
      // WebAssembly maps nothing; mapped weights are not read, but for norms that are not in f32.
      const reads = residence === "read" || on.name === "wasm";
      strictEqual(readBytes > source.config.vocabSize * source.config.hiddenSize, reads);
      results.push(logitsOf(session, [{ sequence: session.cache.pages.open(), tokens }]));
    }
    deepStrictEqual(results[1], results[0], file);
  }
});

onBackends("a cache in half precision stays close to one in single precision", async (on) => {
  using opened = await on.open();
  const source = await goldenSource("llama_gqa");
  const tokens = goldenBatch("llama_gqa").input_ids[0]!;
  const [single, half] = await Promise.all((["f32", "f16"] as const).map(async (kvType) => {
    const session = await open(opened.backend, source, { kvType });
    return logitsOf(session, [{ sequence: session.cache.pages.open(), tokens }]);
  }));
  notDeepStrictEqual(half, single);
  // Keys and values are rounded by at most 2^-11 of themselves; logits are below 5.
  assertNear(half!, single!, 2e-2);
});

onBackends("a cache in q8_0 is refused where heads do not fill its blocks", async (on) => {
  using opened = await on.open();
  const source = await goldenSource("llama_gqa");
  await rejects(open(opened.backend, source, { kvType: "q8_0" }), (error: Error) => {
    return error instanceof ConfigError &&
      /heads are \d+ wide, a multiple of 32/.test(error.message);
  });
});

onBackends("a forward pass that is given up leaves its sequences as they were", async (on) => {
  using opened = await on.open();
  const session = await open(opened.backend, await goldenSource("llama_mha"));
  const { pages } = session.cache;
  const sequence = pages.open();
  const spans = [{ sequence, tokens: [1, 2, 3] }];
  for (const _ of session.layers(spans)) break;
  strictEqual(sequence.length, 0);
  strictEqual(pages.freePages, pages.pageCount);
  const after = logitsOf(session, spans);
  deepStrictEqual(after, logitsOf(session, [{ sequence: pages.open(), tokens: [1, 2, 3] }]));
});

onBackends("a batch that does not fit is refused and changes nothing", async (on) => {
  using opened = await on.open();
  const source = await goldenSource("llama_mha");
  const session = await open(opened.backend, source, { rows: 4, positions: 64, sequences: 2 });
  const { pages } = session.cache;
  const [a, b] = [pages.open(), pages.open()];
  const refused = (spans: Span[], message: RegExp) => {
    throws(() => session.forward(spans), (error: Error) => {
      return error instanceof RangeError && message.test(error.message);
    });
    deepStrictEqual([a.length, b.length, pages.freePages], [0, 0, 1]);
  };
  refused([], /0 rows: 1 to 4/);
  refused([{ sequence: a, tokens: [1, 2, 3, 4, 5] }], /5 rows: 1 to 4/);
  refused([{ sequence: a, tokens: [256] }], /token 256: the model's vocabulary has 256/);
  refused([{ sequence: a, tokens: [-1] }], /token -1/);
  refused([{ sequence: a, tokens: [1], positions: [1, 2] }], /1 tokens with 2 rotary positions/);
  refused([{ sequence: a, tokens: [1] }, { sequence: b, tokens: [1] }], /0 pages/);
  const spans = [a, b, pages.open()].map((sequence) => ({ sequence, tokens: [1] }));
  refused(spans, /3 sequences: at most 2/);
});

onBackends("a tensor of a type that cannot be multiplied is refused by name", async (on) => {
  using opened = await on.open();
  const source = await goldenSource("llama_mha");
  const tensors = new Map(source.tensors);
  const down = tensors.get("layers.1.feed_forward.down")!;
  tensors.set("layers.1.feed_forward.down", { ...down, dtype: "i8" });
  await rejects(Decoder.load(opened.backend, { ...source, tensors }), (error: Error) => {
    return error instanceof FormatError &&
      /"model.layers.1.mlp.down_proj.weight" is i8, f32, f16, bf16, q8_0, q4_0,/.test(
        error.message,
      );
  });
});

onBackends("weights beyond 4 GiB are refused in WebAssembly before any is read", async (on) => {
  using opened = await on.open();
  const config = presetOf("llama2-7b").config;
  const tensors = new Map(
    weightSpecs(config).map((spec) => {
      const bytes = 2 * spec.shape.reduce((product, extent) => product * extent, 1);
      const record = { name: spec.names.huggingFace, dtype: "bf16", shape: spec.shape, bytes };
      return [spec.name, { ...record, file: "nowhere.safetensors", offset: 0 }];
    }),
  );
  const source: DecoderSource = { path: "llama2-7b", config, tensors, ropeLayout: "half" };
  await rejects(Decoder.load(opened.backend, source), (error: Error) => {
    return error instanceof BackendError && /weights take 12\.\d GiB/.test(error.message);
  });
}, { only: "wasm" });

onBackends("a cache that no memory is left for is refused with its size", async (on) => {
  using opened = await on.open();
  const decoder = await Decoder.load(opened.backend, await goldenSource("llama_mha"));
  throws(() => decoder.session({ rows: 1, positions: 2 ** 40 }), (error: Error) => {
    return error instanceof BackendError &&
      /run 1099511627776 positions: they take 1.00 PiB of cache/.test(error.message);
  });
});

Deno.test("a session's memory is known before it is opened", () => {
  const config = presetOf("llama2-7b").config;
  const bytes = sessionBytes(config, { rows: 512, positions: 4096, kvType: "f16" });
  // 2 (keys and values) x 32 layers x 4096 positions x 4096 x 2 bytes.
  strictEqual(bytes.cache, 2 * 32 * 4096 * 4096 * 2);
  const small = sessionBytes(config, { rows: 1, positions: 100 });
  strictEqual(small.cache, 2 * 32 * 128 * 4096 * 4, "whole pages");
});
