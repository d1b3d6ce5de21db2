/** One rank of the tests over MPI: runs a module's `run`, as the worker of local ranks does. */

import { readFileSync, writeFileSync } from "node:fs";
import { deserialize, serialize } from "node:v8";
import { asError } from "../../../lib/base/errors.ts";
import type { RankModule } from "../../../lib/comm/local/run.ts";
import { openWorld } from "../../../lib/comm/open.ts";

const [folder = "", module = "", options = "{}"] = Deno.args;

// As commands that can be interrupted do: launchers send this after a lost rank.
Deno.addSignalListener("SIGTERM", () => {});
try {
  const environment = (name: string) => Deno.env.get(name);
  const world = openWorld({ environment, ...JSON.parse(options) });
  const { communicator } = world;
  try {
    const { run } = await import(module) as RankModule<unknown, unknown>;
    const input = deserialize(readFileSync(`${folder}/input`));
    writeFileSync(`${folder}/${communicator.rank}.pid`, String(Deno.pid));
    const result = await run(communicator, input);
    writeFileSync(`${folder}/${communicator.rank}.result`, serialize(result));
    world.close();
  } catch (thrown) {
    world.fail(asError(thrown));
    throw thrown;
  }
} catch (thrown) {
  console.error(`error: ${asError(thrown).message}`);
  Deno.exit(1);
}
