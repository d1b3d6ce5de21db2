/**
 * `llamero presets`: the models and recipes that are known.
 *
 * @module
 */

import { formatCount, formatInteger } from "../../lib/base/format.ts";
import { snakeCase } from "../../lib/model/config.ts";
import { toHuggingFaceConfig } from "../../lib/model/config_huggingface.ts";
import { countParameters } from "../../lib/model/parameters.ts";
import type { Preset } from "../../lib/model/preset.ts";
import { PRESET_NAMES, presetOf } from "../../lib/model/presets.ts";
import type { Recipe } from "../../lib/model/recipe.ts";
import { type Io, writeJson } from "../io.ts";
import { styled } from "../ui/style.ts";
import { writeTable } from "../ui/table.ts";
import type { PresetsArguments, PresetsOptions } from "./presets.spec.ts";

/** Runs `llamero presets`. */
export function run(values: PresetsOptions & PresetsArguments, io: Io): void {
  if (values.name === undefined) {
    const presets = PRESET_NAMES.map((name) => presetOf(name));
    if (values.json) return writeJson(io.stdout, { presets: presets.map(lineJson) });
    return writeList(presets, io);
  }
  const preset = presetOf(values.name);
  if (values.json) return writeJson(io.stdout, presetJson(preset));
  writePreset(preset, io);
}

function lineJson({ name, summary, vocabulary, config }: Preset): Record<string, unknown> {
  return { name, summary, vocabulary, parameters: countParameters(config).total };
}

function presetJson(preset: Preset): unknown {
  return {
    ...lineJson(preset),
    config: toHuggingFaceConfig(preset.config),
    recipe: recipeOf(preset.recipe),
  };
}

/** A recipe under the names that configs use. */
function recipeOf({ unpublished, batchRamp, ...rest }: Recipe): Record<string, unknown> {
  const snake = (record: object) =>
    Object.fromEntries(Object.entries(record).map(([key, value]) => [snakeCase(key), value]));
  return {
    ...snake(rest),
    batch_ramp: batchRamp.map(snake),
    unpublished: unpublished.map(snakeCase),
  };
}

function writeList(presets: readonly Preset[], io: Io): void {
  const right = { align: "right" } as const;
  const columns = [
    { title: "preset", style: "bold" as const },
    { title: "parameters", ...right },
    { title: "width", ...right },
    { title: "blocks", ...right },
    { title: "heads", ...right },
    { title: "vocabulary", ...right },
    { title: "context", ...right },
    { title: "" },
  ];
  const rows = presets.map(({ name, summary, config, vocabulary }) => [
    name,
    formatCount(countParameters(config).total),
    `${config.hiddenSize}`,
    `${config.numHiddenLayers}`,
    config.numAttentionHeads === config.numKeyValueHeads
      ? `${config.numAttentionHeads}`
      : `${config.numAttentionHeads}/${config.numKeyValueHeads}`,
    vocabulary === "fixed" ? `${config.vocabSize}` : "tokenizer's",
    `${config.maxPositionEmbeddings}`,
    summary,
  ]);
  writeTable(io.stdout, { columns, rows });
}

function writePreset(preset: Preset, io: Io): void {
  const { name, summary, config, recipe, vocabulary } = preset;
  const { total } = countParameters(config);
  const open = vocabulary === "fixed" ? "" : ", with the vocabulary of the tokenizer";
  io.stdout.write(`${styled(name, "bold", io.stdout)}: ${summary}\n`);
  io.stdout.write(`${formatInteger(total)} parameters (${formatCount(total)})${open}\n\n`);
  const columns = [{ title: "", style: "dim" as const }, { title: "" }];
  io.stdout.write("model\n");
  writeTable(io.stdout, { columns, rows: pairs(toHuggingFaceConfig(config)) });
  io.stdout.write("\nrecipe\n");
  const { unpublished, ...published } = recipeOf(recipe);
  const guesses = new Set(unpublished as string[]);
  const rows = pairs(published).map(([key, value]) =>
    guesses.has(key.trim()) ? [key, `${value} (not published)`] : [key, value]
  );
  writeTable(io.stdout, { columns, rows });
}

function pairs(record: Record<string, unknown>): [key: string, value: string][] {
  return Object.entries(record).map(([key, value]) => [
    `  ${key}`,
    typeof value === "object" ? JSON.stringify(value) : String(value),
  ]);
}
