import assert from "node:assert/strict";
import { onBackends } from "../../on_backends.ts";
import { goldenTrainBatch, openGolden } from "./golden_training.ts";

for (const name of ["llama_gqa", "llama_gqa_tied", "palm"] as const) {
  onBackends(
    `a pass through ${name} tells its units, each with the gradients it ends with`,
    async (on) => {
      using opened = await on.open();
      const model = await openGolden(opened.backend, name);
      const { parameters, units } = model;
      const all = parameters.map((_, index) => index);
      assert.deepEqual(units.flat(), all, "units have all parameters, in their order");
      assert.equal(units.length, 2 + model.config.numHiddenLayers);
      const told: string[] = [];
      const gradients = new Map<number, Float32Array>();
      model.observer = {
        enter: (unit, pass) => told.push(`> ${unit} ${pass}`),
        leave(unit, pass) {
          told.push(`< ${unit} ${pass}`);
          if (pass === "forward") return;
          for (const index of units[unit]!) {
            gradients.set(index, model.gradient(parameters[index]!));
          }
        },
      };
      // What an earlier batch left is replaced, unit by unit.
      for (const parameter of parameters) {
        opened.backend.fill(parameter.grad, 1, 4 * parameter.count);
      }
      model.forwardBackward(goldenTrainBatch(name), { weightScale: 1, accumulate: false });
      for (const index of all) {
        assert.deepEqual(model.gradient(parameters[index]!), gradients.get(index), `${index}`);
      }
      const forward = units.slice(0, -1).map((_, unit) => `${unit} forward`);
      const backward = units.map((_, unit) => `${unit} backward`).reverse();
      assert.deepEqual(
        told,
        [...forward, ...backward].flatMap((step) => [`> ${step}`, `< ${step}`]),
      );
    },
  );
}

onBackends(
  "a batch without targets has no gradients, and its units are told all the same",
  async (on) => {
    using opened = await on.open();
    const model = await openGolden(opened.backend, "llama_gqa");
    const batch = goldenTrainBatch("llama_gqa");
    model.forwardBackward(batch, { weightScale: 1, accumulate: false });
    const left: number[] = [];
    model.observer = {
      leave: (unit, pass) => {
        if (pass === "backward") left.push(unit);
      },
    };
    const none = { ...batch, targets: batch.targets.map(() => -1) };
    model.forwardBackward(none, { weightScale: 1, accumulate: false });
    assert.deepEqual(left, model.units.map((_, unit) => unit).reverse());
    for (const parameter of model.parameters) {
      assert.ok(model.gradient(parameter).every((g) => g === 0), parameter.spec.name);
    }
  },
);

onBackends("what is written to weights is told", async (on) => {
  using opened = await on.open();
  const model = await openGolden(opened.backend, "llama_gqa");
  const written = new Array<number>(model.parameters.length).fill(0);
  model.observer = {
    written: (index, { first, count }) => {
      assert.equal(first, written[index]);
      written[index]! += count;
    },
  };
  model.initialize(3);
  assert.deepEqual(written, model.parameters.map(({ count }) => count));
  const [, , third] = model.parameters;
  written[2] = 0;
  model.setWeight(third!, new Float32Array(third!.count));
  assert.equal(written[2], third!.count);
});
