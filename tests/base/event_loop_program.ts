/** Computes in steps of 200 ms with a turn after each until a signal is told; prints how many. */

import { EventLoop } from "../../lib/base/event_loop.ts";

let told = false;
Deno.addSignalListener("SIGUSR2", () => told = true);
await new Promise((resolve) => setTimeout(resolve, 50));
const command = `(sleep 0.3; kill -USR2 ${Deno.pid}) &`;
new Deno.Command("sh", { args: ["-c", command], stdout: "null", stderr: "null" }).outputSync();

const loop = new EventLoop();
let steps = 0;
while (!told && steps < 30) {
  const begin = performance.now();
  while (performance.now() - begin < 200);
  await loop.turn();
  steps++;
}
console.log(steps);
Deno.exit(0);
