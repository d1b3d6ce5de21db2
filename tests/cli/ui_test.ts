import assert from "node:assert/strict";
import { writeJson } from "../../cli/io.ts";
import { Log } from "../../cli/ui/log.ts";
import { Progress } from "../../cli/ui/progress.ts";
import { writeTable } from "../../cli/ui/table.ts";
import { Screen } from "./terminal.ts";

function clock(): { now: () => number; pass: (ms: number) => void } {
  let ms = 0;
  return { now: () => ms, pass: (more) => ms += more };
}

Deno.test("progress on a terminal is one line that is drawn again", () => {
  const screen = new Screen(true, 120);
  const { now, pass } = clock();
  const progress = new Progress(screen, { label: "loading", total: 200, unit: "tensors", now });
  pass(1000);
  progress.update(50);
  assert.deepEqual(screen.lines, [
    `loading  ${"█".repeat(6)}${" ".repeat(18)}   25%  50/200 tensors  50 tensors/s  3.0 s left`,
  ]);
  pass(1000);
  progress.update(200, "done");
  assert.deepEqual(screen.lines, [
    `loading  ${"█".repeat(24)}  100%  200/200 tensors  100 tensors/s  done`,
  ]);
  progress.clear();
  assert.deepEqual(screen.lines, [""]);
});

Deno.test("progress on a terminal is drawn at most ten times a second", () => {
  const screen = new Screen(true);
  const { now, pass } = clock();
  const progress = new Progress(screen, { label: "x", total: 1000, now });
  for (let i = 1; i <= 1000; i++) {
    pass(1);
    progress.update(i);
  }
  const drawings = screen.written.split("\r").length - 1;
  assert.ok(drawings >= 9 && drawings <= 11, `${drawings} drawings`);
});

Deno.test("a progress line is never wider than the terminal", () => {
  const screen = new Screen(true, 20);
  new Progress(screen, { label: "a long label", total: 10, now: () => 0 }).update(5, "and a note");
  assert.ok(screen.lines[0]!.length < 20);
});

Deno.test("work that begins with its first news is shown from then on, until it ends", () => {
  const screen = new Screen(true, 120);
  const log = new Log({ stderr: screen }, { quiet: false, verbose: false });
  const counting = log.counting({ label: "reading", now: () => 0 });
  counting.finish();
  assert.deepEqual(screen.lines, [""]);
  counting.progress(1, 4);
  assert.deepEqual(screen.lines, [`reading  ${"█".repeat(6)}${" ".repeat(18)}   25%  1/4`]);
  counting.finish();
  assert.deepEqual(screen.lines, [""]);
});

Deno.test("progress elsewhere is a plain line every ten seconds", () => {
  const screen = new Screen(false);
  const { now, pass } = clock();
  const progress = new Progress(screen, { label: "reading", total: 4000, now });
  for (let i = 1; i <= 25; i++) {
    pass(1000);
    progress.update(i * 100);
  }
  progress.clear();
  assert.deepEqual(screen.lines, [
    "reading   25%  1.00 K/4.00 K  100/s  30.0 s left",
    "reading   50%  2.00 K/4.00 K  100/s  20.0 s left",
    "",
  ]);
});

Deno.test("progress without a total counts", () => {
  const screen = new Screen(true);
  const { now, pass } = clock();
  const progress = new Progress(screen, { label: "tokens", now });
  pass(2000);
  progress.update(10);
  assert.deepEqual(screen.lines, ["tokens  10  5/s"]);
});

Deno.test("a note takes the progress line away first", () => {
  const screen = new Screen(true);
  const log = new Log({ stderr: screen }, { quiet: false, verbose: false });
  const ticker = log.progress({ label: "x", total: 10, now: () => 0 });
  ticker.update(1);
  log.note("by the way");
  assert.deepEqual(screen.lines, ["by the way", ""]);
  ticker.update(2);
  assert.match(screen.lines[1]!, /20%/);
  ticker.finish();
  assert.deepEqual(screen.lines, ["by the way", ""]);
});

Deno.test("quiet keeps warnings, verbose adds details", () => {
  const said = (quiet: boolean, verbose: boolean) => {
    const screen = new Screen(false);
    const log = new Log({ stderr: screen }, { quiet, verbose });
    log.warn("w");
    log.note("n");
    log.detail("d");
    log.progress({ label: "p", now: () => 0 }).update(1);
    return screen.written;
  };
  assert.equal(said(false, false), "warning: w\nn\n");
  assert.equal(said(true, false), "warning: w\n");
  assert.equal(said(false, true), "warning: w\nn\nd\n");
});

Deno.test("a table aligns its columns, numbers to the right", () => {
  const screen = new Screen(false);
  writeTable(screen, {
    columns: [{ title: "name" }, { title: "size", align: "right" }, { title: "note" }],
    rows: [["embedding", "12", "tied"], ["é", "7"]],
  });
  assert.equal(
    screen.written,
    "name       size  note\nembedding    12  tied\né             7\n",
  );
});

Deno.test("a table without titles has no heading line, and without rows nothing", () => {
  const screen = new Screen(false);
  writeTable(screen, { columns: [{ title: "" }, { title: "" }], rows: [["a", "b"]] });
  writeTable(screen, { columns: [{ title: "" }], rows: [] });
  assert.equal(screen.written, "a  b\n");
});

Deno.test("JSON is one line; typed arrays are arrays and big integers numbers", () => {
  const screen = new Screen(false);
  writeJson(screen, { ids: new Uint32Array([1, 2]), long: new BigInt64Array([3n]), big: 4n });
  assert.equal(screen.written, '{"ids":[1,2],"long":[3],"big":4}\n');
});
