/**
 * The worker that is one rank: runs the function of a module, tells its result or its failure.
 *
 * @module
 */

import { parentPort, workerData } from "node:worker_threads";
import { asError, LlameroError } from "../../base/errors.ts";
import { Engine } from "../engine.ts";
import { worldOf } from "../group.ts";
import type { RankAnswer, RankModule, RankOrder } from "./run.ts";
import { MeetingPlace } from "./meeting_place.ts";
import { LocalTransport } from "./transport.ts";

const { rank, memory, module, input, timeLimitMs } = workerData as RankOrder;
const place = new MeetingPlace(memory);

function tell(answer: RankAnswer): void {
  place.end(rank);
  parentPort!.postMessage(answer);
}

function fail(thrown: unknown): void {
  const error = asError(thrown);
  place.abort(rank, `rank ${rank} failed: ${error.message}`);
  const hint = error instanceof LlameroError ? error.hint : undefined;
  tell({ failure: { message: error.message, hint } });
}

// What is thrown outside the function (in a timer) would end the process that started the ranks.
globalThis.addEventListener("error", (event) => {
  event.preventDefault();
  fail(event.error);
});
globalThis.addEventListener("unhandledrejection", (event) => {
  event.preventDefault();
  fail(event.reason);
});

try {
  const engine = new Engine(new LocalTransport(place, rank), { timeLimitMs });
  const { run } = await import(module) as RankModule<unknown, unknown>;
  const result = await run(worldOf(engine), input);
  engine.flush();
  tell({ result });
} catch (thrown) {
  fail(thrown);
}
