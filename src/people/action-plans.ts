/** Action plans (tiltakskort): what to say and do, step by step, for each kind of alarm; read from config/action-plans.json. */
import { z } from 'zod';
import { KINDS, type Kind } from '../alarms/signal.ts';
import { type ConfigReading, readConfigFile, valueOf } from './config-file.ts';

export interface ActionPlan {
  readonly title: string;
  /** What the operator may read aloud when the line opens; null when there is nobody to speak to. */
  readonly prompt: string | null;
  readonly steps: readonly { readonly text: string; readonly required: boolean }[];
}

export type ActionPlans = Readonly<Partial<Record<Kind, ActionPlan>>>;

const text = z.string().trim().min(1, 'must not be empty').max(400, 'must have at most 400 characters');

const PLAN = z.strictObject({
  title: text,
  prompt: text.nullable(),
  steps: z.array(z.strictObject({ text, required: z.boolean().default(false) })).min(1, 'must have at least one step'),
});

const PLANS = z.partialRecord(z.enum(KINDS), PLAN);

export const readActionPlans = (dir: string): ConfigReading<ActionPlans> => readConfigFile(dir, 'action-plans.json', PLANS);

/** @throws CentreError config-invalid, one sentence a fault */
export const loadActionPlans = (dir: string): ActionPlans => valueOf(readActionPlans(dir));
