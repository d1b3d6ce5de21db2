import assert from "node:assert/strict";
import { join } from "node:path";
import type { BackendName } from "../../lib/backend/backend.ts";
import { ConfigError } from "../../lib/base/errors.ts";
import type { RequestedSettings } from "../../lib/train/config_file.ts";
import { checkMesh } from "../../lib/train/run_mesh.ts";
import { onBackends } from "../on_backends.ts";
import { type MeshRun, train, type Trained } from "./mesh_runs.ts";
import { inRunFolder, smallRun } from "./run_fixture.ts";
import { ADAMW_TOLERANCE, assertSameRun, assertWeights } from "./tolerances.ts";

/** A run under a mesh, by a name of its own. */
interface NamedRun {
  readonly mesh: string;
  readonly settings: RequestedSettings;
}

/** What came of a run, and the formula of its bubble in every report. */
interface DeepRun {
  readonly trained: Trained;
  readonly formulas: readonly unknown[];
}

/** Eight steps of four layers each; what came of them by name. */
async function trainDeep<Name extends string>(
  backend: BackendName,
  runs: Readonly<Record<Name, NamedRun>>,
): Promise<Record<Name, DeepRun>> {
  const names = Object.keys(runs) as Name[];
  let found: Awaited<ReturnType<typeof train>> = [];
  await inRunFolder(async ({ folder, data }) => {
    found = await train(names.map((name): MeshRun => {
      const { mesh, settings } = runs[name];
      const model = { numHiddenLayers: 4, ...settings.model };
      const common = { steps: 8, dropout: 0.1, logEvery: 4, evalData: [data] };
      return {
        ...{ mesh, run: join(folder, name), data, backend },
        settings: { ...common, ...settings, model },
      };
    }));
  });
  const results = found.map(({ events, ...trained }): DeepRun => {
    const formulas = events.flatMap((event) =>
      event.event === "communication" ? [event.pipeline?.formula] : []
    );
    return { trained, formulas };
  });
  return Object.fromEntries(names.map((name, i) => [name, results[i]!])) as Record<Name, DeepRun>;
}

onBackends(
  "a run on stages is one process's to the bit, its losses and norms too",
  async ({ name: backend }) => {
    const settings = { batchTokens: 96, microBatch: 1, model: { tieWordEmbeddings: false } };
    const pipelines = {
      "two ranks": { ranks: 2, stages: 1 },
      "three ranks": { ranks: 3, stages: 1 },
      "two ranks of two stages": { ranks: 2, stages: 2 },
      "two ranks of three stages": { ranks: 2, stages: 3 },
      "three ranks of two stages": { ranks: 3, stages: 2 },
    };
    const runs = Object.fromEntries(
      Object.entries(pipelines).map(([name, { ranks, stages }]) => {
        const interleaved = { pipelineSchedule: "interleaved", stagesPerRank: stages } as const;
        const mesh = `pipeline=${ranks}`;
        return [name, { mesh, settings: { ...settings, ...(stages > 1 && interleaved) } }];
      }),
    );
    const found = await trainDeep<string>(backend, {
      one: { mesh: "data=1", settings },
      ...runs,
    });
    const wanted = found.one!.trained;
    assert.ok(wanted.rows.some((row) => row.eval_loss !== undefined));
    for (const [name, { ranks, stages }] of Object.entries(pipelines)) {
      const { trained, formulas } = found[name]!;
      assert.deepEqual(trained, wanted, name);
      // Narayanan et al. 2021, section 2.2, of six micro-batches.
      const bubble = (ranks - 1) / (6 * stages);
      assert.deepEqual(formulas, [bubble, bubble], name);
    }
  },
  { quickest: true },
);

onBackends(
  "stages beside replicas, shards and tensor ranks train what one process does",
  async ({ name: backend }) => {
    const settingsOf = (tieWordEmbeddings: boolean): RequestedSettings => (
      { batchTokens: 128, microBatch: 1, model: { tieWordEmbeddings } }
    );
    const [untied, tied] = [settingsOf(false), settingsOf(true)];
    const found = await trainDeep(backend, {
      untied: { mesh: "data=1", settings: untied },
      tied: { mesh: "data=1", settings: tied },
      "untied, replicas": { mesh: "data=2,pipeline=2", settings: untied },
      "tied, replicas": { mesh: "data=2,pipeline=2", settings: tied },
      "untied, tensor ranks": { mesh: "tensor=2,pipeline=2", settings: untied },
      "tied, tensor ranks": { mesh: "tensor=2,pipeline=2", settings: tied },
      "untied, shards": { mesh: "shard=2,tensor=2,pipeline=2", settings: untied },
      "tied, shards": { mesh: "shard=2,tensor=2,pipeline=2", settings: tied },
    });
    for (const [name, { trained: { rows, weights } }] of Object.entries(found)) {
      const { trained: wanted } = found[name.startsWith("tied") ? "tied" : "untied"];
      assertSameRun(rows, wanted.rows);
      assertWeights(weights, wanted.weights, ADAMW_TOLERANCE);
    }
  },
  { quickest: true },
);

onBackends(
  "in one tree the number of replicas of a pipeline changes no bit",
  async ({ name: backend }) => {
    const settings = { batchTokens: 128, microBatch: 1, reduce: "tree" } as const;
    const interleaved = { ...settings, pipelineSchedule: "interleaved" } as const;
    const found = await trainDeep(backend, {
      one: { mesh: "pipeline=2", settings },
      two: { mesh: "data=2,pipeline=2", settings },
      "one, interleaved": { mesh: "pipeline=2", settings: interleaved },
      "two, interleaved": { mesh: "data=2,pipeline=2", settings: interleaved },
    });
    assert.deepEqual(found.two.trained, found.one.trained);
    assert.deepEqual(found["two, interleaved"].trained, found["one, interleaved"].trained);
  },
  { quickest: true },
);

onBackends(
  "shards of stages give the bits of whole replicas, in every stage of ZeRO",
  async ({ name: backend }) => {
    const runs: Record<string, NamedRun> = {};
    for (const tieWordEmbeddings of [false, true]) {
      for (const [reduce, stages] of [["ranks", [1, 3]], ["tree", [2]]] as const) {
        const settings = { batchTokens: 64, microBatch: 1, reduce, model: { tieWordEmbeddings } };
        const name = `${tieWordEmbeddings ? "tied" : "untied"}, ${reduce}`;
        runs[name] = { mesh: "data=2,pipeline=2", settings };
        for (const zero of stages) {
          runs[`${name}: stage ${zero}`] = {
            mesh: "shard=2,pipeline=2",
            settings: { ...settings, zero },
          };
        }
      }
    }
    const found = await trainDeep(backend, runs);
    for (const [name, { trained }] of Object.entries(found)) {
      assert.deepEqual(trained, found[name.split(":")[0]!]!.trained, name);
    }
  },
  { quickest: true },
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
