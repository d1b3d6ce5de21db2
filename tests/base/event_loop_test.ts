import assert from "node:assert/strict";
import { join } from "node:path";
import { EventLoop } from "../../lib/base/event_loop.ts";
import { REPOSITORY } from "../fixtures.ts";

const WINDOWS = Deno.build.os === "windows";

Deno.test({
  name: `work in long steps is told of a signal within a few steps${
    WINDOWS ? " (ignored: Windows sends no signals to one process)" : ""
  }`,
  ignore: WINDOWS,
  fn: async () => {
    const program = join(REPOSITORY, "tests/base/event_loop_program.ts");
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--allow-run", program],
    }).output();
    // The signal comes in the second step; a busy machine may send it some steps later.
    const steps = Number(new TextDecoder().decode(stdout));
    assert.ok(steps >= 1 && steps <= 10, `${steps} steps`);
  },
});

Deno.test("an aborted signal ends the work at the next turn", async () => {
  const controller = new AbortController();
  const loop = new EventLoop(controller.signal);
  await loop.turn();
  controller.abort(new Error("enough"));
  assert.throws(() => loop.turn(), /enough/);
});
