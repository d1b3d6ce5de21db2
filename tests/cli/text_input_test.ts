import { ok, rejects, strictEqual } from "node:assert/strict";
import { join } from "node:path";
import { readText } from "../../cli/text_input.ts";
import { SOON_MS } from "../time_limits.ts";
import { memoryIo } from "./run_cli.ts";

Deno.test("a text is read whole from a file and from stdin", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const text = "\ufeffZoë 日本\r\n".repeat(300_000);
    const path = join(folder, "text");
    await Deno.writeTextFile(path, text);
    strictEqual(await readText(path, memoryIo().io), text);
    strictEqual(await readText("-", memoryIo({ stdin: text }).io), text);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a text that fits into no string is refused before it is read", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "long");
    await Deno.writeTextFile(path, "");
    await Deno.truncate(path, 2 ** 29);
    const start = performance.now();
    await rejects(
      () => readText(path, memoryIo().io),
      /^FormatError: Cannot read ".*long": it has more than 536870888 bytes, a shorter text was wanted$/,
    );
    ok(performance.now() - start < SOON_MS);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("a stream is left where it is longer than wanted", async () => {
  const { io } = memoryIo({ stdin: "abc" });
  strictEqual(await readText("-", io, { most: 3 }), "abc");
  await rejects(
    () => readText("-", memoryIo({ stdin: "abcd" }).io, { most: 3 }),
    /Cannot read stdin: it has more than 3 bytes/,
  );
});

Deno.test({
  name: "a device without an end is left where it is longer than wanted",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    await rejects(
      () => readText("/dev/zero", memoryIo().io, { most: 1 << 20 }),
      /Cannot read "\/dev\/zero": it has more than 1048576 bytes/,
    );
  },
});
