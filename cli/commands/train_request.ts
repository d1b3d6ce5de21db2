/**
 * What the command line of `llamero train` asks for, as settings.
 *
 * @module
 */

import { resolve } from "node:path";
import { UsageError } from "../../lib/base/errors.ts";
import { quoted } from "../../lib/base/quoted.ts";
import { parseMesh } from "../../lib/comm/mesh.ts";
import type { RequestedSettings } from "../../lib/train/config_file.ts";
import type { RequestLayer } from "../../lib/train/request_layers.ts";
import { parseBatchRamp, parseDataSetting, parseSkips } from "../../lib/train/setting_text.ts";
import { SETTING_NAMES } from "../../lib/train/setting_checks.ts";
import type { DataSetting } from "../../lib/train/settings.ts";
import { flagOf, type Sources } from "../command.ts";
import type { TrainOptions } from "./train.spec.ts";

/** Settings that the command line has under their own names and in their own form. */
const PLAIN = new Set<string>([...SETTING_NAMES, "preset", "tokens"]);

/**
 * The flags and environment variables that were given, as a layer; paths are absolute, so that the
 * run can be resumed from anywhere.
 *
 * @throws {UsageError} Where a value is not in its form.
 */
export function requestOf(values: TrainOptions, sources: Sources<TrainOptions>): RequestLayer {
  const asked: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(values)) {
    if (sources[key as keyof TrainOptions] === "default" || !PLAIN.has(key)) continue;
    asked[key] = value;
  }
  const own = asked as { -readonly [K in keyof RequestedSettings]: RequestedSettings[K] };
  if (values.data.length > 0) own.data = values.data.map(dataSetting);
  if (values.text.length > 0) own.text = values.text.map((path) => resolve(path));
  if (values.evalData.length > 0) own.evalData = values.evalData.map((path) => resolve(path));
  else delete own.evalData;
  if (values.tokenizer !== undefined) own.tokenizer = resolve(values.tokenizer);
  if (values.init !== undefined) own.init = resolve(values.init);
  if (values.documentMask !== undefined) own.documentMask = values.documentMask === "on";
  if (values.mesh !== undefined && values.mesh !== "auto") parseMesh(values.mesh);
  const { batchRamp, skipBatches } = values;
  if (batchRamp !== undefined) {
    own.batchRamp = parseBatchRamp(batchRamp) ??
      refuse("batchRamp", batchRamp, "a list such as 1000:65536,5000:131072");
  }
  if (skipBatches !== undefined) {
    own.skipBatches = parseSkips(skipBatches) ??
      refuse("skipBatches", skipBatches, "a list such as 1000:200,5000:300");
  }
  const origin = (name: string) => {
    const source = sources[name as keyof TrainOptions];
    return source === "environment" ? "environment" : `flag ${flagOf(name)}`;
  };
  return { settings: own, origin };
}

function dataSetting(text: string): DataSetting {
  const setting = parseDataSetting(text) ??
    refuse("data", text, "PREFIX, PREFIX=WEIGHT or PREFIX=WEIGHT:MAX_EPOCHS with numbers above 0");
  return { ...setting, path: resolve(setting.path) };
}

function refuse(key: string, text: string, wanted: string): never {
  throw new UsageError(`Cannot set ${flagOf(key)} to ${quoted(text)}: not ${wanted}`);
}

/** A file's settings with absolute paths: relative ones mean the caller's folder. */
export function withAbsolutePaths(settings: RequestedSettings): RequestedSettings {
  const { data, text, evalData, tokenizer, init } = settings;
  const all = (paths: readonly string[] | undefined) => paths?.map((path) => resolve(path));
  const absolute: RequestedSettings = {
    data: data?.map((source) => ({ ...source, path: resolve(source.path) })),
    text: all(text),
    evalData: all(evalData),
    tokenizer: tokenizer === undefined ? undefined : resolve(tokenizer),
    init: init === undefined ? undefined : resolve(init),
  } as RequestedSettings;
  const given = Object.entries(absolute).filter(([, value]) => value !== undefined);
  return { ...settings, ...Object.fromEntries(given) };
}
