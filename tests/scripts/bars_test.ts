import { deepStrictEqual, match, ok } from "node:assert/strict";
import { barChart } from "../../scripts/bench/bars.ts";

Deno.test("bars are as long as their values, each group on its own scale", () => {
  const svg = barChart([
    { title: "time & <space>", bars: [bar("a", 4), bar("b", 1)] },
    { title: "memory", bars: [bar("c", 1000)] },
  ]);
  const widths = [...svg.matchAll(/<rect x="[^"]*" y="[^"]*" width="([\d.]+)"/g)];
  const [a, b, c] = widths.map((found) => Number(found[1]));
  deepStrictEqual([widths.length, a, b], [3, c, c! / 4]);
  match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  ok(svg.includes("time &amp; &lt;space&gt;"));
});

function bar(label: string, value: number) {
  return { label, value, text: `${value} s` };
}
