import { deepStrictEqual, strictEqual, throws } from "node:assert/strict";
import { StopStrings } from "../../lib/infer/stop_strings.ts";

/** Streams pieces and returns what was shown, piece by piece. */
function stream(stops: string[], pieces: string[]): { shown: string[]; stopped: boolean } {
  const watcher = new StopStrings(stops);
  const shown: string[] = [];
  for (const piece of pieces) {
    const result = watcher.push(piece);
    shown.push(result.text);
    if (result.stopped) return { shown, stopped: true };
  }
  shown.push(watcher.end());
  return { shown, stopped: false };
}

Deno.test("without stop strings everything is shown at once", () => {
  deepStrictEqual(stream([], ["a", "b"]), { shown: ["a", "b", ""], stopped: false });
});

Deno.test("a stop string cut over pieces never shows a part of itself", () => {
  deepStrictEqual(stream(["</end>"], ["Hi", "</", "en", "d> more"]), {
    shown: ["Hi", "", "", ""],
    stopped: true,
  });
});

Deno.test("what only looked like a stop string is shown once that is clear", () => {
  deepStrictEqual(stream(["</end>"], ["x</e", "lse"]), {
    shown: ["x", "</else", ""],
    stopped: false,
  });
});

Deno.test("what is held back at the end is shown", () => {
  deepStrictEqual(stream(["abc"], ["zab"]), { shown: ["z", "ab"], stopped: false });
});

Deno.test("the earliest of several stop strings ends the text", () => {
  deepStrictEqual(stream(["yes", "no"], ["oh no, yes"]), { shown: ["oh "], stopped: true });
});

Deno.test("the longest possible beginning is held back where several fit", () => {
  const watcher = new StopStrings(["aab", "abx"]);
  strictEqual(watcher.push("zaa").text, "z");
  strictEqual(watcher.held, "aa");
  deepStrictEqual(watcher.push("b"), { text: "", stopped: true });
});

Deno.test("overlapping beginnings are followed (aab in aaab)", () => {
  deepStrictEqual(stream(["aab"], ["a", "a", "a", "b", "!"]), {
    shown: ["", "", "a", ""],
    stopped: true,
  });
});

Deno.test("an empty stop string is refused", () => {
  throws(() => new StopStrings(["a", ""]), /empty/);
});
