import assert from "node:assert/strict";
import type { TimedEvent } from "../../lib/train/events.ts";
import type { MetricsRow } from "../../lib/train/metrics.ts";
import { linePlot } from "../../lib/train/plot.ts";
import { formatReport, goodput } from "../../lib/train/report.ts";
import { resolveRun } from "../../lib/train/run_config.ts";

const rows: MetricsRow[] = Array.from({ length: 5000 }, (_, i) => ({
  step: i + 1,
  tokens: 64 * (i + 1),
  loss: i === 3 ? null : 5 - i / 1000,
  grad_norm: 1,
  lr: 1e-3,
  tokens_per_second: 1000,
  mfu: 0.4,
  step_ms: 2,
  ...(i % 1000 === 999 ? { eval_loss: 5 - i / 1000, eval_bits_per_byte: 2 } : {}),
}));

const config = resolveRun(
  [{ settings: { preset: "debug", steps: 5000 }, origin: () => "flag" }],
  { vocabulary: { vocabSize: 512 } },
);

Deno.test("goodput is the share of all sessions' time that became steps that were kept", () => {
  const time = "2026-01-01T00:00:00Z";
  const events: TimedEvent[] = [
    { time, event: "start", step: 0, backend: "wasm" },
    { time, event: "lost", steps: 10, session_ms: 6000 },
    { time, event: "end", step: 5000, session_ms: 10_000 },
  ];
  assert.equal(goodput(rows, { events }), 10_000 / 16_000);
  assert.equal(goodput(rows, { events: [], runningMs: 20_000 }), 0.5);
  assert.equal(goodput(rows, { events: [] }), undefined);
});

Deno.test("a report stands alone, draws every curve and escapes what the model wrote", () => {
  const report = formatReport({
    config,
    rows,
    events: [],
    goodput: 0.9,
    samples: [{ step: 10, text: "<script>alert('&')</script>" }],
    settings: "lr = 0.001 # <flag>",
  });
  assert.doesNotMatch(report, /<script|https?:|src=/);
  assert.match(report, /&lt;script&gt;alert\(&#39;&amp;&#39;\)/);
  assert.match(report, /lr = 0.001 # &lt;flag&gt;/);
  for (const title of ["Loss", "Learning rate", "Gradient norm", "Tokens per second"]) {
    assert.ok(report.includes(`<h2>${title}`), title);
  }
  assert.equal(report.match(/<polyline/g)!.length, 5);
  assert.match(report, /90\.0%/);
  assert.ok(report.length < 200_000);
});

Deno.test("a plot keeps the peaks of what it thins out", () => {
  const points = Array.from({ length: 10_000 }, (_, i) => [i, i === 7777 ? 100 : 0] as const);
  const plot = linePlot([{ name: "one peak", points }]);
  // The peak is at the top of the drawing.
  assert.match(plot, /,12\.0/);
  assert.equal(linePlot([{ name: "nothing", points: [] }]), "");
  assert.doesNotMatch(linePlot([{ name: "flat", points: [[1, 3], [2, 3]] }]), /NaN/);
});
