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

async function runRank({ rank, memory, module, input, timeLimitMs }: RankOrder): Promise<void> {
  const place = new MeetingPlace(memory);
  let answer: RankAnswer;
  try {
    const engine = new Engine(new LocalTransport(place, rank), { timeLimitMs });
    const { run } = await import(module) as RankModule<unknown, unknown>;
    const result = await run(worldOf(engine), input);
    engine.flush();
    answer = { result };
  } catch (thrown) {
    const error = asError(thrown);
    place.abort(rank, `rank ${rank} failed: ${error.message}`);
    const hint = error instanceof LlameroError ? error.hint : undefined;
    answer = { failure: { message: error.message, hint } };
  }
  place.end(rank);
  parentPort!.postMessage(answer);
}

await runRank(workerData as RankOrder);
