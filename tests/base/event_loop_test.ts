import assert from "node:assert/strict";
import { join } from "node:path";
import { EventLoop } from "../../lib/base/event_loop.ts";
import { REPOSITORY } from "../fixtures.ts";

Deno.test({
  name: "work in long steps is told of a signal in one of the next two steps",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const program = join(REPOSITORY, "tests/base/event_loop_program.ts");
    const { stdout } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-check", "--allow-run", program],
    }).output();
    // The signal comes in the second step.
    const steps = Number(new TextDecoder().decode(stdout));
    assert.ok(steps >= 1 && steps <= 5, `${steps} steps`);
  },
});

Deno.test("an aborted signal ends the work at the next turn", async () => {
  const controller = new AbortController();
  const loop = new EventLoop(controller.signal);
  await loop.turn();
  controller.abort(new Error("enough"));
  assert.throws(() => loop.turn(), /enough/);
});
