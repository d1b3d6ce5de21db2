/** What a rank of the test knows of the norm: its part of a model's weights, and a square for each. */

import type { Communicator } from "../../lib/comm/communicator.ts";
import { Mesh, type MeshNumbers } from "../../lib/comm/mesh.ts";
import { heldWeights } from "../../lib/model/training/parts.ts";
import { MeshNorm } from "../../lib/parallel/mesh_norm.ts";
import { balanceStages } from "../../lib/parallel/pipeline_stages.ts";
import { fiveLayers } from "./pipeline_program.ts";

/** Square sum of a weight, or of the part of it that begins at `first`: no two are alike. */
export function squareOf(index: number, first: number): number {
  return Math.sqrt(2 + index) * 1e-3 + first / 7;
}

/** The total, by a mesh. */
export function run(world: Communicator, sizes: MeshNumbers): number {
  const { axes: { tensor, pipeline } } = new Mesh(world, sizes);
  const config = fiveLayers(true);
  const cut = { layers: config.numHiddenLayers, stages: pipeline.size };
  const stages = balanceStages(cut, { layer: 1, embedding: 0, head: 0 });
  const parameters = heldWeights(config, { tensor, stages: [stages[pipeline.rank]!] });
  const squares = parameters.map(({ index, slice }) => squareOf(index, slice?.first ?? 0));
  const norm = new MeshNorm({ config, parameters, slices: tensor, stages: pipeline });
  return norm.total(Float64Array.from(squares));
}
