/**
 * What `llamero train --plan` says of the data: share and epochs of each source.
 *
 * @module
 */

import { existsSync } from "node:fs";
import { MANY_EPOCHS, type ResolvedShares } from "../../lib/data/shares.ts";
import { datasetPaths } from "../../lib/formats/indexed_dataset.ts";
import type { TrainSettings } from "../../lib/train/settings.ts";
import { sharesOfData } from "../../lib/train/setup.ts";
import type { Row } from "./train_plan_step.ts";

/**
 * The shares of a run of so many tokens; nothing where its data are texts still, or on another machine.
 *
 * @throws {ConfigError} Where a source would be seen more often than it may.
 */
export function plannedData(
  data: TrainSettings["data"],
  tokens: number,
): ResolvedShares["shares"] | undefined {
  const isHere = data.length > 0 && data.every(({ path }) => existsSync(datasetPaths(path).idx));
  return isHere ? sharesOfData(data, tokens).shares : undefined;
}

/** A row for each source. */
export function dataRows(shares: ResolvedShares["shares"]): Row[] {
  return shares.map(({ name, weight, epochs }) => [
    name,
    `${(100 * weight).toFixed(1)}%`,
    `${epochs.toFixed(2)} epochs${epochs > MANY_EPOCHS ? `, more than ${MANY_EPOCHS}` : ""}`,
  ]);
}
