/**
 * Whether all ranks have the same of what they must have the same of.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { ConfigError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import type { Communicator } from "./communicator.ts";

const DIGEST_BYTES = 32;
/** Longer ones are told by their name alone. */
const SHOWN_CHARACTERS = 60;

/**
 * Compares facts, by what users call them, over all ranks; every rank calls this with the same names.
 *
 * @throws {ConfigError} On every rank, where one has another than rank 0; names the rank and the fact.
 */
export function checkAgreement(
  world: Communicator,
  facts: Readonly<Record<string, string | Uint8Array>>,
): void {
  const names = Object.keys(facts);
  const width = names.length * DIGEST_BYTES;
  const digests = new Uint8Array(world.size * width);
  for (const [at, name] of names.entries()) {
    const digest = createHash("sha256").update(facts[name]!).digest();
    digests.set(digest, world.rank * width + at * DIGEST_BYTES);
  }
  world.allGather(digests, { lengths: new Array(world.size).fill(width) });
  const of = (rank: number, at: number) => {
    const start = rank * width + at * DIGEST_BYTES;
    return digests.subarray(start, start + DIGEST_BYTES).join();
  };
  for (const [at, name] of names.entries()) {
    for (let rank = 1; rank < world.size; rank++) {
      if (of(rank, at) !== of(0, at)) throw disagreement(world, { rank, name, own: facts[name]! });
    }
  }
}

function disagreement(
  world: Communicator,
  { rank, name, own }: { rank: number; name: string; own: string | Uint8Array },
): ConfigError {
  const short = typeof own === "string" && own.length <= SHOWN_CHARACTERS;
  const here = short ? `; rank ${world.rank} has ${quoted(own)}` : "";
  const fault = `rank ${rank} has another ${name} than rank 0${here}`;
  return new ConfigError(`Cannot work together on ${world.size} ranks: ${fault}`, {
    hint: "start all ranks with the same command, on machines that see the same files",
  });
}
