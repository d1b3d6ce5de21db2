import assert from "node:assert/strict";
import { join } from "node:path";
import { ConfigError } from "../../lib/base/errors.ts";
import { checkMesh } from "../../lib/train/run_mesh.ts";
import { onBackends } from "../on_backends.ts";
import { type MeshRun, train, type Trained } from "./mesh_runs.ts";
import { inRunFolder, smallRun } from "./run_fixture.ts";
import { ADAMW_TOLERANCE, assertSameRun, assertWeights } from "./tolerances.ts";

/** A run of four layers on a mesh, and the formula of its bubble in every report. */
async function trainTold(mesh: string, { settings, ...run }: MeshRun) {
  const model = { numHiddenLayers: 4, ...settings?.model };
  const { events, ...trained } = await train(mesh, {
    ...run,
    settings: { dropout: 0.1, logEvery: 4, ...settings, evalData: [run.data], model },
  });
  const formulas = events.flatMap((event) =>
    event.event === "communication" ? [event.pipeline?.formula] : []
  );
  return { trained, formulas };
}

async function trainDeep(mesh: string, run: MeshRun): Promise<Trained> {
  return (await trainTold(mesh, run)).trained;
}

onBackends(
  "a run on stages is one process's to the bit, its losses and norms too",
  async ({ name: backend }) => {
    await inRunFolder(async ({ folder, data }) => {
      const untied = { model: { tieWordEmbeddings: false } };
      const settings = { batchTokens: 96, microBatch: 1, ...untied };
      const wanted = await trainDeep("data=1", {
        backend,
        run: join(folder, "one"),
        data,
        settings,
      });
      assert.ok(wanted.rows.some((row) => row.eval_loss !== undefined));
      const pipelines = [[2, "1f1b", 1], [3, "1f1b", 1], [2, "interleaved", 2], [
        2,
        "interleaved",
        3,
      ], [3, "interleaved", 2]] as const;
      for (const [ranks, pipelineSchedule, stages] of pipelines) {
        const run = join(folder, `${ranks} ranks, ${pipelineSchedule} ${stages}`);
        const stagesPerRank = Math.max(2, stages);
        const { trained, formulas } = await trainTold(`pipeline=${ranks}`, {
          ...{ backend, run, data },
          settings: { ...settings, pipelineSchedule, stagesPerRank },
        });
        assert.deepEqual(trained, wanted, run);
        // Narayanan et al. 2021, section 2.2, of six micro-batches.
        const bubble = (ranks - 1) / (6 * stages);
        assert.deepEqual(formulas, [bubble, bubble, bubble]);
      }
    });
  },
);

onBackends(
  "stages beside replicas, shards and tensor ranks train what one process does",
  async ({ name: backend }) => {
    await inRunFolder(async ({ folder, data }) => {
      for (const tieWordEmbeddings of [false, true]) {
        const settings = { batchTokens: 128, microBatch: 1, model: { tieWordEmbeddings } };
        const name = (mesh: string) => join(folder, `${mesh} ${tieWordEmbeddings}`);
        const wanted = await trainDeep("data=1", { backend, run: name("one"), data, settings });
        const meshes = ["data=2,pipeline=2", "tensor=2,pipeline=2", "shard=2,tensor=2,pipeline=2"];
        for (const mesh of meshes) {
          const run = { backend, run: name(mesh), data, settings };
          const { rows, weights } = await trainDeep(mesh, run);
          assertSameRun(rows, wanted.rows, ADAMW_TOLERANCE);
          assertWeights(weights, wanted.weights, ADAMW_TOLERANCE);
        }
      }
    });
  },
);

onBackends(
  "in one tree the number of replicas of a pipeline changes no bit",
  async ({ name: backend }) => {
    await inRunFolder(async ({ folder, data }) => {
      for (const pipelineSchedule of ["1f1b", "interleaved"] as const) {
        const settings = {
          batchTokens: 128,
          microBatch: 1,
          reduce: "tree",
          pipelineSchedule,
        } as const;
        const [one, two] = await Promise.all(
          ["pipeline=2", "data=2,pipeline=2"].map((mesh) =>
            trainDeep(mesh, {
              backend,
              run: join(folder, `${mesh} ${pipelineSchedule}`),
              data,
              settings,
            })
          ),
        );
        assert.deepEqual(two, one);
      }
    });
  },
);

onBackends(
  "shards of stages give the bits of whole replicas, in every stage of ZeRO",
  async ({ name: backend }) => {
    await inRunFolder(async ({ folder, data }) => {
      for (const tieWordEmbeddings of [false, true]) {
        const name = (mesh: string) => join(folder, `${mesh} ${tieWordEmbeddings}`);
        for (const [reduce, stages] of [["ranks", [1, 3]], ["tree", [2]]] as const) {
          const settings = { batchTokens: 64, microBatch: 1, reduce, model: { tieWordEmbeddings } };
          const run = name(`whole ${reduce}`);
          const wanted = await trainDeep("data=2,pipeline=2", { backend, run, data, settings });
          for (const zero of stages) {
            const trained = await trainDeep("shard=2,pipeline=2", {
              ...{ backend, run: name(`stage ${zero}`), data },
              settings: { ...settings, zero },
            });
            assert.deepEqual(trained, wanted, `stage ${zero}`);
          }
        }
      }
    });
  },
);

Deno.test("a pipeline of more stages than a model has layers for is refused", () => {
  const config = smallRun("nowhere", { pipelineSchedule: "interleaved", mesh: "pipeline=4" });
  const deep = (numHiddenLayers: number) => ({ ...config.model, numHiddenLayers });
  checkMesh({ ...config, model: deep(6) }, 4);
  const settings = { ...config.settings, stagesPerRank: 3 };
  for (
    const [shallow, message] of [
      [{ ...config, model: deep(5) }, /5 layers into 8 stages/],
      [{ model: deep(6), settings }, /6 layers into 12 stages/],
    ] as const
  ) {
    assert.throws(() => checkMesh(shallow, 4), (error) => {
      assert.ok(error instanceof ConfigError);
      assert.match(error.message, message);
      return true;
    });
  }
});
