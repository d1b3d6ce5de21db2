/**
 * What is asked for in several places, the nearest first: flags, environment, file. A setting is taken
 * from the first layer that has it.
 *
 * @module
 */

import type { RequestedSettings } from "./config_file.ts";
import type { SettingName, TrainSettings } from "./settings.ts";

/** What somebody asks for, and what their requests are called. */
export interface RequestLayer {
  /** What this layer asks for; the rest is left to later ones. */
  readonly settings: RequestedSettings;
  /** Where a setting of this layer comes from, such as `flag`, `environment` or a file's name. */
  readonly origin: (name: string) => string;
}

/** The first layer that asks for one of some things. */
export function firstAsking(
  layers: readonly RequestLayer[],
  names: readonly (keyof RequestedSettings)[],
): RequestLayer | undefined {
  return layers.find(({ settings }) => names.some((name) => settings[name] !== undefined));
}

/** What the first layer that asks for something asks for. */
export function askedOf<K extends keyof RequestedSettings>(
  layers: readonly RequestLayer[],
  name: K,
): RequestedSettings[K] | undefined {
  return firstAsking(layers, [name])?.settings[name];
}

/** Values as they are found, each with its origin. */
export class Resolver {
  /** The values by name. */
  readonly values: Record<string, unknown> = {};
  /** Where each came from. */
  readonly origins: Map<string, string> = new Map();
  readonly #layers: readonly RequestLayer[];

  /** Begins without values. @param layers The first wins. */
  constructor(layers: readonly RequestLayer[]) {
    this.#layers = layers;
  }

  /** What the first layer that asks for it asks for. */
  requested<K extends keyof RequestedSettings>(name: K): RequestedSettings[K] | undefined {
    return askedOf(this.#layers, name);
  }

  /** The first layer that asks for it. */
  layerOf(name: keyof RequestedSettings): RequestLayer | undefined {
    return firstAsking(this.#layers, [name]);
  }

  /** Whether a layer asks for one setting and none up to it for another. */
  isRatherAsked(one: keyof RequestedSettings, other: keyof RequestedSettings): boolean {
    const first = firstAsking(this.#layers, [one, other]);
    return first !== undefined && first.settings[other] === undefined;
  }

  /** Whether the first layer that asks for either setting asks for both. */
  isAskedByOne(one: keyof RequestedSettings, other: keyof RequestedSettings): boolean {
    const layer = this.layerOf(one);
    return layer !== undefined && layer === this.layerOf(other);
  }

  /** Takes what is requested, else what is given. */
  take<K extends SettingName>(
    name: K,
    fallback: TrainSettings[K],
    origin: string,
  ): Exclude<TrainSettings[K], undefined> {
    const layer = this.layerOf(name);
    return layer === undefined
      ? this.set(name, fallback, origin)
      : this.set(name, layer.settings[name] as TrainSettings[K], layer.origin(name));
  }

  /** Takes what is given, whatever is requested. */
  set<K extends SettingName>(
    name: K,
    value: TrainSettings[K] | undefined,
    origin: string,
  ): Exclude<TrainSettings[K], undefined> {
    this.values[name] = value;
    if (value !== undefined) this.origins.set(name, origin);
    return value as Exclude<TrainSettings[K], undefined>;
  }
}
