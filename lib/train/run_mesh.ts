/**
 * The mesh of a run: what its settings ask for, and whether the model and the batches can be cut so.
 *
 * @module
 */

import { ConfigError } from "../base/errors.ts";
import { quoted } from "../base/quoted.ts";
import { checkDivisions, type MeshNumbers, meshSize, meshText, parseMesh } from "../comm/mesh.ts";
import { BatchRamp } from "../data/ramp.ts";
import type { ModelConfig } from "../model/config.ts";
import { checkTree } from "../parallel/micro_batches.ts";
import { plannedPipeline } from "./pipeline_engine.ts";
import type { TrainSettings } from "./settings.ts";

/** Sizes of the mesh that settings ask for, where there are so many ranks. */
export function meshOf({ mesh }: Pick<TrainSettings, "mesh">, ranks: number): MeshNumbers {
  return mesh === "auto" ? { data: ranks, shard: 1, tensor: 1, pipeline: 1 } : parseMesh(mesh);
}

/**
 * Checks that a run can be shared between so many ranks.
 *
 * @throws {ConfigError} Where the mesh has another number of ranks, or does not divide heads, layers,
 *   sequences or micro-batches.
 */
export function checkMesh(
  { settings, model }: { readonly settings: TrainSettings; readonly model: ModelConfig },
  ranks: number,
): void {
  const mesh = meshOf(settings, ranks);
  const wanted = meshSize(mesh);
  if (wanted !== ranks) {
    const are = ranks === 1 ? "there is 1 rank" : `there are ${ranks} ranks`;
    const has = wanted === 1 ? "1 rank" : `${wanted} ranks`;
    throw new ConfigError(
      `Cannot use mesh ${quoted(meshText(mesh))}: it has ${has} and ${are}`,
      { hint: hintOf(mesh, ranks) },
    );
  }
  for (const stage of new BatchRamp(settings).sizes) {
    checkDivisions(mesh, {
      layers: model.numHiddenLayers,
      heads: model.numAttentionHeads,
      kvHeads: model.numKeyValueHeads,
      intermediateSize: model.intermediateSize,
      batchSize: stage.sequences,
    });
    if (settings.reduce !== "tree") continue;
    const replicas = { rank: 0, size: mesh.data * mesh.shard };
    checkTree(stage.sequences, { microBatch: settings.microBatch, replicas });
  }
  plannedPipeline({ settings, model }, mesh);
}

function hintOf(mesh: MeshNumbers, ranks: number): string {
  const size = meshSize(mesh);
  return ranks === 1
    ? `start ${size} ranks with --virtual-ranks ${size} or mpirun -n ${size}`
    : `--mesh data=${ranks}, or other axes whose product is ${ranks}`;
}
