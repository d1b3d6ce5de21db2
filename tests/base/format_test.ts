import assert from "node:assert/strict";
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatInteger,
  formatMemory,
} from "../../lib/base/format.ts";

Deno.test("bytes have three digits and decimal units", () => {
  const cases: [number, string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.00 kB"],
    [1_044_984, "1.04 MB"],
    [13_476_839_424, "13.5 GB"],
    [999_600, "1.00 MB"],
    [-2500, "-2.50 kB"],
  ];
  for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text);
});

Deno.test("memory has binary units", () => {
  assert.equal(formatMemory(1024), "1.00 KiB");
  assert.equal(formatMemory(17_179_869_184), "16.0 GiB");
  assert.equal(formatMemory(1023.8 * 2 ** 20), "1.00 GiB");
});

Deno.test("counts are shortened to thousands, millions, billions and trillions", () => {
  assert.equal(formatCount(512), "512");
  assert.equal(formatCount(260_032), "260 K");
  assert.equal(formatCount(6_738_415_616), "6.74 B");
  assert.equal(formatCount(540_356_474_880), "540 B");
  assert.equal(formatCount(1.4e12), "1.40 T");
});

Deno.test("whole numbers have their thousands apart", () => {
  assert.equal(formatInteger(0), "0");
  assert.equal(formatInteger(999), "999");
  assert.equal(formatInteger(1000), "1,000");
  assert.equal(formatInteger(-6_738_415_616), "-6,738,415,616");
});

Deno.test("durations go from milliseconds to days", () => {
  const cases: [number, string][] = [
    [0.5, "0.50 ms"],
    [850, "850 ms"],
    [999.6, "1.0 s"],
    [12_345, "12.3 s"],
    [59_960, "1 min 00 s"],
    [245_000, "4 min 05 s"],
    [12_000_000, "3 h 20 min"],
    [446_400_000, "5 d 04 h"],
    [Infinity, "unknown"],
  ];
  for (const [ms, text] of cases) assert.equal(formatDuration(ms), text);
});
