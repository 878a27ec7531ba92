/** Reads the whole configuration of a centre, once and frozen; every fault of every file in one go. */
import path from 'node:path';
import { CentreError } from '../base/errors.ts';
import { type Models, readModels } from '../devices/models.ts';
import { withCanary } from '../escalation/canary-ladder.ts';
import { readEscalation } from '../escalation/configuration.ts';
import type { Escalation } from '../escalation/ladder.ts';
import { type ActionPlans, readActionPlans } from '../people/action-plans.ts';
import { type Centre, type Municipality, readCentre, readMunicipalities } from '../people/centre.ts';

export interface Configuration {
  readonly dir: string;
  readonly centre: Centre;
  readonly municipalities: readonly Municipality[];
  readonly models: Models;
  readonly escalation: Escalation;
  readonly actionPlans: ActionPlans;
}

type Reading<T> = { readonly value: T } | { readonly faults: readonly string[] };

/** @throws CentreError config-invalid, one sentence a fault with its file and place */
export function readConfiguration(configDir: string): Configuration {
  const dir = path.resolve(configDir);
  const faults: string[] = [];
  const taken = <T>(reading: Reading<T>): T | null => {
    if ('value' in reading) return reading.value;
    faults.push(...reading.faults);
    return null;
  };
  const centre = taken(readCentre(dir));
  const municipalities = taken(readMunicipalities(dir));
  const actionPlans = taken(readActionPlans(dir));
  const models = taken(readModels(path.join(dir, 'models')));
  const escalation = taken(readEscalation(dir, municipalities?.map(({ number }) => number) ?? []));
  if (centre === null || municipalities === null || actionPlans === null || models === null || escalation === null) {
    throw new CentreError('config-invalid', faults.join('\n'));
  }
  return Object.freeze({ dir, centre, municipalities, models, escalation, actionPlans });
}

/** As every process of a centre uses it: with the ladder of its own canary. @throws CentreError config-invalid */
export function configurationOf(configDir: string): Configuration {
  const read = readConfiguration(configDir);
  return { ...read, escalation: withCanary(read.escalation) };
}

/** What a register may name: municipalities, models and zones of this configuration. */
export const knownToRegister = ({ municipalities, models, escalation }: Configuration) => ({
  municipalities: municipalities.map(({ number }) => number),
  models: models.names,
  zones: escalation.zones.map(({ name }) => name),
});
