/**
 * What one virtual rank of `llamero train` does; its module is run by `runLocal`.
 *
 * @module
 */

import { ConfigError, Interrupted } from "../../lib/base/errors.ts";
import type { Communicator } from "../../lib/comm/communicator.ts";
import { tellStarter } from "../../lib/comm/local/run.ts";
import { NOWHERE, type Output } from "../io.ts";
import { Log } from "../ui/log.ts";
import { openRunTokenizer, trainHere } from "./train_session.ts";
import type { VirtualRankInput, VirtualRankResult } from "./train_virtual.ts";

/** Trains as one rank of the world. */
export async function run(
  world: Communicator,
  input: VirtualRankInput,
): Promise<VirtualRankResult> {
  const { config, paths, stop, cudaLibrary: library, nccl } = input;
  const word = new Int32Array(stop);
  const io = { stderr: world.rank === 0 ? starterOutput(input.stderr) : NOWHERE };
  try {
    const tokenizer = await openRunTokenizer(config, paths);
    const trained = await trainHere({
      ...{ config, paths, tokenizer, io, world },
      log: new Log(io, input.log),
      localRanks: world.size,
      // They share the first GPU.
      gpu: { wanted: false, localRank: 0, library, nccl },
      signal: {
        get aborted() {
          return Atomics.load(word, 0) !== 0;
        },
      },
    });
    return { trained };
  } catch (thrown) {
    const isRefused = thrown instanceof ConfigError;
    if (!isRefused && !(thrown instanceof Interrupted)) throw thrown;
    const { message, hint } = thrown;
    return { ended: isRefused ? "refused" : "interrupted", message, hint };
  }
}

/** The stream of whoever started the ranks. */
function starterOutput({ terminal, color, columns }: VirtualRankInput["stderr"]): Output {
  const decoder = new TextDecoder();
  return {
    ...{ terminal, color },
    columns: () => columns,
    write: (data) =>
      tellStarter(typeof data === "string" ? data : decoder.decode(data, { stream: true })),
  };
}
